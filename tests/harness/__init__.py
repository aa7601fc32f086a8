"""Tests of the harness: its pure part is tested on histories written as literals,
the rest on real servers.
"""
