"""What a user would pick instead of promptd, started and asked in the same way."""
