"""Takes numbers and strings from a file, little-endian, and never believes a length beyond the file's end."""

import contextlib
import os
import struct
from pathlib import Path
from typing import BinaryIO

from agent.models.regular_file import distrusted
from agent.wire.errors import ModelError

LENGTH = struct.Struct("<Q")
CHUNK_BYTES = 256 * 1024


class BoundedBytes:
    """A file that is read from its beginning; every fault is a `ModelError` that names the file.

    What lies beyond `limit_bytes` is not read: a file may be made of holes and claim any size.
    """

    def __init__(self, path: Path, file: BinaryIO, limit_bytes: int) -> None:
        self._path = path
        self._file = file
        self.size_bytes = os.fstat(file.fileno()).st_size
        self._limit_bytes = limit_bytes
        self.position_bytes = 0

    def left_bytes(self) -> int:
        """Return what has not been taken yet and may be."""
        return min(self.size_bytes, self._limit_bytes) - self.position_bytes

    def take(self, size_bytes: int, what: str) -> bytes:
        """Return the next bytes; `what` names them in the error if the file ends first."""
        raw = self._file.read(size_bytes) if size_bytes <= self.left_bytes() else b""
        if len(raw) != size_bytes:
            raise self.end(what)
        self.position_bytes += size_bytes
        return raw

    def skip(self, size_bytes: int, what: str) -> None:
        """Pass over bytes."""
        if size_bytes > self.left_bytes():
            raise self.end(what)
        self.position_bytes += size_bytes
        self._file.seek(self.position_bytes)

    def skip_strings(self, count: int, what: str) -> None:
        """Pass over strings with their lengths before them; many of them lie in each chunk that is read."""
        while count:
            chunk = self._file.read(min(CHUNK_BYTES, self.left_bytes()))
            passed, end = _strings_in(chunk, count)
            if not passed:
                raise self.end(what)
            self.skip(end, what)
            count -= passed

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
            raise self.end(f"{what}, which claims {length} bytes")
        return length

    def text(self, length: int, what: str) -> str:
        """Return UTF-8 text."""
        try:
            return self.take(length, what).decode()
        except UnicodeDecodeError as error:
            raise self.fault(f"has bytes in {what} that are not UTF-8") from error

    def short_text(self, limit_bytes: int, what: str) -> str:
        """Return a string with its length before it, if it is no longer than `limit_bytes`.

        Native code ends a name at a NUL character, so that two names could become one.
        """
        length = self.length(what)
        if length > limit_bytes:
            raise self.fault(f"has {length} bytes in {what}; at most {limit_bytes} are allowed")
        text = self.text(length, what)
        if "\0" in text:
            raise self.fault(f"has a NUL character in {what}")
        return text

    def end(self, what: str) -> ModelError:
        """Return the error for a file that ends, or goes on for too long, inside of `what`."""
        if self.size_bytes > self._limit_bytes:
            return self.fault(f"claims more than {self._limit_bytes} bytes before its weights, in {what}")
        return self.fault(f"ends inside {what}; the download may be incomplete")

    def fault(self, sentence: str) -> ModelError:
        """Return the error to raise."""
        return distrusted(self._path, sentence)


def _strings_in(chunk: bytes, count: int) -> tuple[int, int]:
    """Return how many of `count` strings begin in a chunk, and where the last of them ends, maybe behind it.

    A vocabulary has hundreds of thousands of strings, so this loop does nothing but add lengths.
    """
    unpack, end, left = LENGTH.unpack_from, 0, count
    with contextlib.suppress(
        struct.error, OverflowError
    ):  # a length lies behind the chunk, or is beyond all files
        while left:
            end += LENGTH.size + unpack(chunk, end)[0]
            left -= 1
    return count - left, end
