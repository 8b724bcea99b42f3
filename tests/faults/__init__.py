"""Faults on purpose: drains that are killed, stopped, cut off and starved, and what is left of them."""
