"""From anomalies to a verdict on each of the course's steps."""
