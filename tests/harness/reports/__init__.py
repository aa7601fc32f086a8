"""Tests of the reports: on terminals, in pages, in files."""
