"""A cluster on this machine: NATS nodes, chat nodes on top of them, and what can happen to each."""
