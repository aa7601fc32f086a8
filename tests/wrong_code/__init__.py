"""Wrong code of all kinds, and how long a check takes until it has a verdict on it."""
