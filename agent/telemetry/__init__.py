"""What the box tells about itself."""
