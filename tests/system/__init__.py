"""Boxes with a real systemd, and what they are made of: run by `make test-system` alone."""
