"""Tests of the worlds: one contract that both keep, and what belongs to one of them alone."""
