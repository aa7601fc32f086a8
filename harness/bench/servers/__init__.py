"""Servers to compare with: they do less than the reference server, and give none of its guarantees."""
