"""Judges a class: all submissions in a folder, one after the other."""
