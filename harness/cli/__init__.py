"""The command `chatlab`: one module for each of its commands."""
