"""Verdicts for people and for programs. Reports read runs and their histories; they run nothing."""
