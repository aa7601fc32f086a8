"""Tests of `harness/entry_points`."""
