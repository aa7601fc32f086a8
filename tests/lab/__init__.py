"""Tests of the reference server, `lab/`."""
