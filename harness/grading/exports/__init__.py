"""Marks in the forms of portals and of programs that read test results, made from the neutral grades."""
