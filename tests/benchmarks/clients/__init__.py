"""What benchmarks start in processes of their own: one application each, with the task as its only argument."""
