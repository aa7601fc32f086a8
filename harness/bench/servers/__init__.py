"""Servers to compare with: they do less than the reference server, and keep none of its promises."""
