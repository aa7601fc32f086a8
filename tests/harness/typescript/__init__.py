"""Tests of what is written in TypeScript: its tools, its build and what the compiler says of it."""
