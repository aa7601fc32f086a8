"""Tests of what makes failures smaller, and of the files that they are written to."""
