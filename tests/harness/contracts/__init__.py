"""Tests of the contracts of components that are called directly."""
