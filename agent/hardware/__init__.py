"""What this box is, and which engine variant fits it."""
