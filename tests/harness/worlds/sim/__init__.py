"""Tests of the simulated world: its hosts, its time, and its standard library."""
