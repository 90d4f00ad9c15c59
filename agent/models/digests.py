"""Digests of a file in one pass."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Measured:
    """What a file is, as the two kinds of listing on the hub would name it."""

    size_bytes: int
    sha256: str
    """As large file storage lists it."""
    git_sha1: str
    """As git lists it: the SHA-1 of the content after a `blob` header (git-hash-object)."""


def measure(path: Path) -> Measured:
    """Read a file once and return its size and digests.

    Raises:
        OSError: the file cannot be read.
    """
    size_bytes = path.stat().st_size
    sha256 = hashlib.sha256()
    git_sha1 = hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            git_sha1.update(chunk)
    return Measured(size_bytes, sha256.hexdigest(), git_sha1.hexdigest())
