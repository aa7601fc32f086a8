"""Tests of the checkers, on histories written as literals, and on those of a model."""
