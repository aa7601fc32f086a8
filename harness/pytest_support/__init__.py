"""The course's steps as pytest items, and fixtures for tests of one's own."""
