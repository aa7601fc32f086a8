"""Tests of frames, and of the index of a history."""
