"""Sends a server one frame of each kind, and shows its answers."""
