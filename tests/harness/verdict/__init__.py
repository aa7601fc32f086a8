"""Tests of how findings become verdicts."""
