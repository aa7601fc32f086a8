"""What `chatlab check` and `replay` do: they play what was asked for, and report."""
