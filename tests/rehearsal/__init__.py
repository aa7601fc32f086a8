"""Tests of the deployment, without a container engine."""
