"""What is behind ``Producer``: the queue, the encoding, the appending, the reports."""
