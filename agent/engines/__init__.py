"""The engines behind one batch-first contract; each file owns one foreign library."""
