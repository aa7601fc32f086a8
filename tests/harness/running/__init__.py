"""Tests of plays as a whole."""
