"""What a producer, a consumer and an admin client have in common."""
