"""The reference chat server: rooms, numbered messages, presence, stored history."""
