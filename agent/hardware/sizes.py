"""Sizes as people read them, in decimal units like the file sizes of models."""

KB, MB, GB = 1000, 1000**2, 1000**3


def readable(size_bytes: int) -> str:
    """Return bytes as `2.4 GB`, `512 MB` or `12 kB`."""
    if size_bytes >= GB:
        return f"{size_bytes / GB:.1f} GB"
    if size_bytes >= MB:
        return f"{size_bytes / MB:.0f} MB"
    return f"{size_bytes / KB:.0f} kB"
