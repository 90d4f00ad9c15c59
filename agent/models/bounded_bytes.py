"""Takes numbers and strings from a file, little-endian, and never believes a length beyond the file's end."""

import struct
from pathlib import Path
from typing import BinaryIO

from agent.wire.errors import ModelError


class BoundedBytes:
    """A file that is read from its beginning; every fault is a `ModelError` that names the file."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self.size_bytes = path.stat().st_size
        self.position_bytes = 0

    def left_bytes(self) -> int:
        """Return what has not been taken yet."""
        return self.size_bytes - self.position_bytes

    def take(self, size_bytes: int, what: str) -> bytes:
        """Return the next bytes; `what` names them in the error if the file ends first."""
        raw = self._file.read(size_bytes) if size_bytes <= self.left_bytes() else b""
        if len(raw) != size_bytes:
            raise self.fault(f"ends inside {what}; the download may be incomplete")
        self.position_bytes += size_bytes
        return raw

    def skip(self, size_bytes: int) -> None:
        """Pass over bytes that the caller has found to be there."""
        self.position_bytes += size_bytes
        self._file.seek(self.position_bytes)

    def values(self, layout: str, what: str) -> tuple[int | float | bool, ...]:
        """Return the values of a struct format."""
        return struct.unpack(layout, self.take(struct.calcsize(layout), what))

    def number(self, layout: str, what: str) -> int:
        """Return one whole number."""
        return int(self.values(layout, what)[0])

    def length(self, what: str) -> int:
        """Return the length that stands before a string, if the file holds as much."""
        length = self.number("<Q", f"the length of {what}")
        if length > self.left_bytes():
            raise self.fault(f"ends inside {what}, which claims {length} bytes")
        return length

    def text(self, length: int, what: str) -> str:
        """Return UTF-8 text."""
        try:
            return self.take(length, what).decode()
        except UnicodeDecodeError as error:
            raise self.fault(f"has bytes in {what} that are not UTF-8") from error

    def short_text(self, limit_bytes: int, what: str) -> str:
        """Return a string with its length before it, if it is no longer than `limit_bytes`."""
        length = self.length(what)
        if length > limit_bytes:
            raise self.fault(f"has {length} bytes in {what}; at most {limit_bytes} are allowed")
        return self.text(length, what)

    def fault(self, sentence: str) -> ModelError:
        """Return the error to raise."""
        return ModelError(f"{self._path} {sentence}; get the file again from a source you trust")
