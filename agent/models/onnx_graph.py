"""Reads from an ONNX graph where it wants its weights from, and checks that place before native code does.

A graph names files, and a runtime that believes it reads any file of the box (CVE-2022-25882,
CVE-2024-27318). Weights are never read. Source of the field numbers: onnx.proto of the ONNX project.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent.models.manifest_file import relative_path
from agent.models.protobuf import BYTES, Field, ProtobufFile
from agent.models.regular_file import open_regular, refuse_stranger
from agent.wire.errors import ModelError

MESSAGES: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external data"},
}
"""Fields that lead to a tensor, which may lie in another file: field number to kind of message."""
KEY, VALUE = 1, 2
"""Fields of one entry of external data."""
MAX_DEPTH = 100
"""Messages inside messages, as protobuf's own parsers allow."""
MAX_TEXT_BYTES = 4096
MAX_DIGITS = 18
MAX_ENTRIES = 16
"""Of external data of one tensor; the format knows five."""


@dataclass(frozen=True, slots=True)
class ExternalData:
    """Where one tensor lies in another file."""

    location: str
    offset_bytes: int
    length_bytes: int
    """0 when the graph leaves it to the tensor's shape."""


def check_onnx_graph(path: Path) -> None:
    """Check that a graph is well formed, and that all weights it wants lie in files of its own folder.

    Raises:
        ModelError: it is malformed, or names a place outside its folder or beyond the end of a file.
    """
    try:
        with open_regular(path) as file:
            source = ProtobufFile(path, file)
            sizes: dict[str, int] = {}
            for wanted in _Reader(source).external_data():
                if wanted.location not in sizes:
                    sizes[wanted.location] = _size_bytes(path, wanted.location)
                _refuse_beyond(source, wanted, sizes[wanted.location])
    except OSError as error:
        place = error.filename or path
        raise ModelError(
            f"cannot read {place}: {error.strerror or error}; copy the whole folder of the model"
        ) from error


class _Reader:
    """One walk through a graph."""

    def __init__(self, source: ProtobufFile) -> None:
        self._source = source

    def external_data(self) -> Iterator[ExternalData]:
        is_graph = False
        whole = Field(0, BYTES, 0, self._source.size_bytes)
        for field, kind in self._inner(whole, "model"):
            is_graph = is_graph or kind == "graph"
            yield from self._below(field, kind, 1)
        if not is_graph:
            raise self._source.fault("holds no graph, so it is not an ONNX file")

    def _below(self, message: Field, kind: str, depth: int) -> Iterator[ExternalData]:
        if depth > MAX_DEPTH:
            raise self._source.fault(f"is nested deeper than {MAX_DEPTH} messages")
        entries: dict[str, str] = {}
        for field, inner in self._inner(message, kind):
            if inner == "external data":
                self._add_entry(entries, field)
            else:
                yield from self._below(field, inner, depth + 1)
        if entries:
            yield self._external(entries)

    def _inner(self, message: Field, kind: str) -> Iterator[tuple[Field, str]]:
        inner = MESSAGES[kind]
        for field in self._source.fields(message.start, message.end):
            if field.kind == BYTES and field.number in inner:
                yield field, inner[field.number]

    def _add_entry(self, entries: dict[str, str], entry: Field) -> None:
        texts = {KEY: "", VALUE: ""}
        for field in self._source.fields(entry.start, entry.end):
            if field.kind == BYTES and field.number in texts:
                texts[field.number] = self._source.text(field, MAX_TEXT_BYTES)
        if texts[KEY] in entries:
            raise self._source.fault(f"has {texts[KEY][:80]!r} twice in the external data of one tensor")
        if len(entries) == MAX_ENTRIES:
            raise self._source.fault(
                f"has more than {MAX_ENTRIES} entries in the external data of one tensor"
            )
        entries[texts[KEY]] = texts[VALUE]

    def _external(self, entries: Mapping[str, str]) -> ExternalData:
        numbers = [entries.get(key, "0") for key in ("offset", "length")]
        if not all(text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS for text in numbers):
            raise self._source.fault(f"has external data at {numbers[0][:80]!r} of {numbers[1][:80]!r} bytes")
        return ExternalData(entries.get("location", ""), *map(int, numbers))


def _size_bytes(graph: Path, location: str) -> int:
    """Return the size of the file that a graph wants, if it may have it."""
    try:
        place = graph.parent / PurePosixPath(relative_path(location))
    except ValueError as error:
        raise ModelError(f"the external data of {graph} {error}; get the folder again") from error
    refuse_stranger(place, graph.parent)
    return place.stat().st_size


def _refuse_beyond(source: ProtobufFile, wanted: ExternalData, size_bytes: int) -> None:
    end_bytes = wanted.offset_bytes + wanted.length_bytes
    if end_bytes > size_bytes:
        raise source.fault(
            f"wants weights up to byte {end_bytes} of {wanted.location}, which has {size_bytes}"
        )
