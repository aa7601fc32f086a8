"""Changes components in small ways, and sees which of the changes nobody notices."""
