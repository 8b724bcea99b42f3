"""Parity of a topic and the table, down to the single message; shares no decoding code with the drain."""
