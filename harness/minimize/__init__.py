"""Makes a failure small, and writes it to a replay file."""
