"""Histories that are made by hand: each anomaly by itself, and beside it what comes close and is none."""
