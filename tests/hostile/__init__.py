"""Servers and components that mean harm, and a runner that plays each by every command."""
