"""The program that is judged: found, started, watched and ended, whatever is played with it."""
