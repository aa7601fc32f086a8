"""Asks a server one question of each kind, and shows what it answers."""
