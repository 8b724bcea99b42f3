"""The processes that a history is made of: each does one thing, at random, and writes down what it did."""
