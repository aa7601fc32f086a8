"""Tests of `chatlab doctor`."""
