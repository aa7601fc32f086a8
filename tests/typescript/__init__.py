"""Tests of the TypeScript track: its server, its stubs and model answers, and how it is set up."""
