"""Finds what a class has handed in, in folders and archives as portals and people leave them."""
