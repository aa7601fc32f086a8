"""What a component owes, played on its class directly, without a server.

The same sentence as everywhere: a *plan* is data, drawn from a seed; it is *played* on a fresh copy of the
component between neighbours of ours, which answer in orders and at times of their own; what it did is
*checked* against a small model. Plays grow, so that the first one that fails is the smallest.
"""
