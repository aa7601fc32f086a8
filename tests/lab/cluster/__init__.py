"""Tests of several nodes over NATS, `lab/cluster/`."""
