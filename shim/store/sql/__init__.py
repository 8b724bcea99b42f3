"""Statements of the queue, by subject."""
