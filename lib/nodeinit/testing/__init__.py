"""Helpers for tests: the same machine in virtual time."""
