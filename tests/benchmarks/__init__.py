"""Benchmarks: each is one command, ``python -m tests.benchmarks.NAME``; METHOD.md says how figures are taken."""
