"""Tests of the harness: its pure part on histories written down as literals, the rest on real servers."""
