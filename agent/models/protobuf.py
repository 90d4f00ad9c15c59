"""Walks through a protobuf file field by field without loading it: what nobody asks for is passed over.

Source of the encoding: the encoding guide of Protocol Buffers. Groups, which nobody writes now, are refused.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from agent.models.regular_file import distrusted
from agent.wire.errors import ModelError

WINDOW_BYTES = 64 * 1024
MAX_VARINT_BYTES = 10
MAX_FIELD_NUMBER = (1 << 29) - 1
MAX_FIELDS = 1_000_000
"""Of a whole file; the graph of a large language model has about a hundred thousand."""
VARINT, BYTES = 0, 2
FIXED_BYTES = {1: 8, 5: 4}
"""Kinds of fields with a size of their own."""


class Field(NamedTuple):
    """One field of a message, and where its content lies in the file."""

    number: int
    kind: int
    start: int
    end: int


class ProtobufFile:
    """A file of nested messages; every fault is a `ModelError` that names the file."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self.size_bytes = os.fstat(file.fileno()).st_size
        self._window = b""
        self._window_start = 0
        self._fields_left = MAX_FIELDS

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """Yield the fields of the message that lies from `start` to `end`."""
        while start < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise self.fault(f"has more than {MAX_FIELDS} fields")
            tag, start = self._varint(start, end)
            field = self._field(tag, start, end)
            yield field
            start = field.end

    def text(self, field: Field, limit_bytes: int) -> str:
        """Return the content of a field as UTF-8 text."""
        size_bytes = field.end - field.start
        if size_bytes > limit_bytes:
            raise self.fault(f"has a text of {size_bytes} bytes where at most {limit_bytes} are allowed")
        try:
            return self._bytes(field.start, size_bytes).decode()
        except UnicodeDecodeError as error:
            raise self.fault("has bytes in a text that are not UTF-8") from error

    def fault(self, sentence: str) -> ModelError:
        """Return the error to raise."""
        return distrusted(self._path, sentence)

    def _field(self, tag: int, start: int, end: int) -> Field:
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            _, stop = self._varint(start, end)
        elif kind == BYTES:
            length, start = self._varint(start, end)
            stop = start + length
        else:
            stop = start + FIXED_BYTES.get(kind, end)
        if stop > end or not 1 <= number <= MAX_FIELD_NUMBER:
            raise self.fault(f"is malformed before byte {start}; the download may be incomplete")
        return Field(number, kind, start, stop)

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        """Return a number, and where it ends: seven bits in each byte, the lowest first."""
        value = 0
        for place, byte in enumerate(self._bytes(start, min(MAX_VARINT_BYTES, end - start))):
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:  # noqa: PLR2004 -- the highest bit says that more bytes follow
                return value, start + place + 1
        raise self.fault(f"is malformed at byte {start}; the download may be incomplete")

    def _bytes(self, start: int, size_bytes: int) -> bytes:
        begin = start - self._window_start
        if begin < 0 or begin + size_bytes > len(self._window):
            self._file.seek(start)
            self._window, self._window_start, begin = self._file.read(WINDOW_BYTES), start, 0
        return self._window[begin : begin + size_bytes]
