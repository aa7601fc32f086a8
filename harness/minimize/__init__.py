"""Makes a failure small, and writes it to a file that is played again."""
