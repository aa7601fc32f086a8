"""Tests of the command `chatlab`, as it looks at a terminal."""
