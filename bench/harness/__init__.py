"""What `bench/run` is made of: processes, targets, table."""
