"""Statements of the migrator, by subject."""
