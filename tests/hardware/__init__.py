"""What a box is, and what fits it."""
