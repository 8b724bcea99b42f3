"""What is behind ``ShareConsumer``: claims, what is in flight, leases that are renewed, acknowledgements."""
