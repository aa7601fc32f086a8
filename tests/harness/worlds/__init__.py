"""Tests of the worlds: the contract that both of them keep, and what only one of them does."""
