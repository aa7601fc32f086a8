"""Changes components in small ways, and lists the changes that no check notices."""
