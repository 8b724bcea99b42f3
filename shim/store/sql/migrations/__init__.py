"""Migrations of the queue, applied in the order of their numbers."""
