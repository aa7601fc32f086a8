"""The course's steps as pytest items, and fixtures for students' own tests."""
