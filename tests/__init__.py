"""The suite; ``fixtures`` starts the real servers it runs on."""
