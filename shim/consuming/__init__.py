"""What is behind ``Consumer``: its group, its assignment, reading ahead, its commits."""
