"""Tests of the command `chatlab`, as somebody at a terminal sees it."""
