"""Drives any server that speaks the protocol, and judges it."""
