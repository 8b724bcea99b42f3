"""Kafka's names and numbers: codes, constants, widths, hashes. No connection, no clock."""
