"""Tests of contracts, which call components directly."""
