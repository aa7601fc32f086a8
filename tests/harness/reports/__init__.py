"""Tests of the reports: at terminals, in pages, in files."""
