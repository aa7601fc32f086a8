"""Pure functions from a history to the anomalies in it: no input or output, no clock, no randomness.

Each takes a `HistoryIndex`, and most of them the name of a room; each returns anomalies with the
events that show them, grouped so that a thousand lost messages are one anomaly with a count.
"""
