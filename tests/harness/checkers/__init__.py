"""Tests of the checkers, on histories written down as literals, and on those of a model."""
