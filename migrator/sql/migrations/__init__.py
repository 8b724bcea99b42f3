"""Migrations of the migrator's own tables, applied in the order of their numbers."""
