"""Reading the small files in which Linux tells about itself."""

from pathlib import Path


def text_of(file: Path) -> str:
    """Return what a file holds; one that is missing or unreadable counts as empty."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
