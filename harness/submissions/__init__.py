"""What was handed in: found, copied, and made ready to be judged in isolation."""
