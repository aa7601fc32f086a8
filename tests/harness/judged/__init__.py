"""Tests of how the judged program is found, started and ended."""
