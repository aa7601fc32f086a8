"""`chatlab hunt`: reading, playing and judging a player's check."""
