"""Reads the header of a GGUF file without native code, and trusts nothing in it.

llama.cpp asks its users to run untrusted models in a sandbox only, and its own parser has overflowed on
crafted files (CVE-2024-21802, CVE-2026-27940), so this check comes before the engine. Weights are never read.
Source of the layout: the GGUF specification (ggml, docs/gguf.md).
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path

from agent.models.bounded_bytes import BoundedBytes
from agent.models.gguf_types import ARRAY, SCALAR_FORMATS, STRING, TENSOR_TYPES, UINT32
from agent.models.regular_file import open_regular
from agent.wire.errors import ModelError

MAX_HEADER_BYTES = 64 * 1024 * 1024
"""Everything before the weights; the largest vocabularies take about 15 MiB."""
MAX_KEYS = 65_536
MAX_TENSORS = 65_536
MAX_KEY_BYTES = 65_535
MAX_NAME_BYTES = 63
"""Of a tensor; llama.cpp needs the 64th byte for itself."""
MAX_TEMPLATE_BYTES = 64 * 1024
MAX_TEXT_BYTES = 1024
"""Longest string that is kept; longer ones are passed over."""
MAX_LAYERS = 4096
"""Longest array of numbers that is read, because it may hold one number per layer; others are passed over."""
INTEGERS = frozenset({0, 1, 2, 3, 4, 5, 10, 11})
MAX_STRINGS = 4 * 1024 * 1024
"""Strings in one array; the largest vocabularies have a few hundred thousand."""
MAX_ELEMENTS = (1 << 63) - 1
MAX_DIMS = 4
DEFAULT_ALIGNMENT_BYTES = 32
ALIGNMENT_KEY = "general.alignment"
SPLIT_KEY = "split.count"
TEMPLATE_KEY = "tokenizer.chat_template"

Value = int | float | bool | str


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where one tensor's weights lie."""

    name: str
    type_name: str
    offset_bytes: int
    """From the beginning of the weights."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What stands before the weights."""

    version: int
    metadata: dict[str, Value]
    """Numbers and short strings; of an array of numbers the largest, of other arrays nothing."""
    tensors: tuple[Tensor, ...]


def read_gguf_header(path: Path) -> GgufHeader:
    """Read and check the header of a GGUF file.

    Raises:
        ModelError: the file cannot be read, is malformed, or is only a part of a model.
    """
    try:
        with open_regular(path) as file:
            header = _header(BoundedBytes(path, file, MAX_HEADER_BYTES))
    except OSError as error:
        raise ModelError(
            f"cannot read {path}: {error.strerror or error}; check the path and its rights"
        ) from error
    if header.metadata.get(SPLIT_KEY, 1) not in (0, 1):  # llama.cpp would open the other parts by itself
        raise ModelError(f"{path} is one part of a split model; merge it with llama-gguf-split --merge")
    return header


def _header(source: BoundedBytes) -> GgufHeader:
    if source.take(4, "the magic") != b"GGUF":
        raise source.fault("does not begin with GGUF, so it is not a GGUF file")
    version = _version(source)
    tensors = _count(source, MAX_TENSORS, "tensors")
    metadata = _metadata(source, _count(source, MAX_KEYS, "metadata keys"))
    return GgufHeader(version, metadata, _tensors(source, tensors, _alignment(source, metadata)))


def _version(source: BoundedBytes) -> int:
    version = source.number("<I", "the version")
    if version in (2, 3):
        return version
    if int.from_bytes(version.to_bytes(4, "little"), "big") in (2, 3):
        raise source.fault("is a big-endian GGUF file; promptd needs the little-endian one")
    raise source.fault(f"has GGUF version {version}; promptd reads versions 2 and 3")


def _count(source: BoundedBytes, limit: int, what: str) -> int:
    count = source.number("<Q", f"the number of {what}")
    if count > limit:
        raise source.fault(f"claims {count} {what}; at most {limit} are allowed")
    return count


def _metadata(source: BoundedBytes, keys: int) -> dict[str, Value]:
    metadata: dict[str, Value] = {}
    seen: set[str] = set()
    for _ in range(keys):
        key = source.short_text(MAX_KEY_BYTES, "a metadata key")
        if not key or key in seen:
            raise source.fault(f"has the metadata key {key[:80]!r} " + ("twice" if key else "without a name"))
        seen.add(key)
        value = _value(source, key)
        if value is not None:
            metadata[key] = value
    return metadata


def _value(source: BoundedBytes, key: str) -> Value | None:
    what = f"the value of {key[:80]!r}"
    kind = source.number("<I", f"the type of {key[:80]!r}")
    if key == ALIGNMENT_KEY and kind != UINT32:  # llama.cpp has aborted on others
        raise source.fault(f"has {key!r} of value type {kind} instead of {UINT32}")
    if kind == STRING:
        return _string(source, key, what)
    if kind == ARRAY:
        return _array(source, what)
    return source.values(_layout(source, kind, what), what)[0]


def _string(source: BoundedBytes, key: str, what: str) -> str | None:
    length = source.length(what)
    if length <= MAX_TEXT_BYTES:
        return source.text(length, what)
    if key.startswith(TEMPLATE_KEY) and length > MAX_TEMPLATE_BYTES:
        raise source.fault(f"has a chat template of {length} bytes; at most {MAX_TEMPLATE_BYTES} are allowed")
    source.skip(length, what)
    return None


def _array(source: BoundedBytes, what: str) -> Value | None:
    kind = source.number("<I", f"the element type of {what}")
    count = source.number("<Q", f"the length of {what}")
    if kind == STRING:
        _skip_strings(source, count, what)
        return None
    layout = _layout(source, kind, what)
    if count * struct.calcsize(layout) > source.left_bytes():
        raise source.end(f"{what}, an array of {count} elements")
    if kind in INTEGERS and 0 < count <= MAX_LAYERS:
        return max(source.values(f"<{count}{layout[1]}", what))
    source.skip(count * struct.calcsize(layout), what)
    return None


def _skip_strings(source: BoundedBytes, count: int, what: str) -> None:
    if count > MAX_STRINGS or count * 8 > source.left_bytes():
        raise source.fault(f"claims {count} strings in {what}, more than it can hold")
    source.skip_strings(count, what)


def _layout(source: BoundedBytes, kind: int, what: str) -> str:
    if kind not in SCALAR_FORMATS:
        raise source.fault(f"has an unknown value type {kind} in {what}")
    return SCALAR_FORMATS[kind]


def _alignment(source: BoundedBytes, metadata: dict[str, Value]) -> int:
    alignment = metadata.get(ALIGNMENT_KEY, DEFAULT_ALIGNMENT_BYTES)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise source.fault(f"has the alignment {alignment!r}, which is not a power of two")
    return alignment


def _tensors(source: BoundedBytes, count: int, alignment: int) -> tuple[Tensor, ...]:
    """Read where the weights lie; like llama.cpp, accept no gaps and no overlaps."""
    tensors: dict[str, Tensor] = {}
    next_bytes = 0
    for _ in range(count):
        tensor = _tensor(source)
        what = f"tensor {tensor.name!r}"
        if tensor.name in tensors:
            raise source.fault(f"has {what} twice")
        if tensor.offset_bytes != next_bytes:
            raise source.fault(f"puts {what} at {tensor.offset_bytes}, but it must follow at {next_bytes}")
        tensors[tensor.name] = tensor
        next_bytes = _padded(next_bytes + tensor.size_bytes, alignment)
    begin_bytes = _padded(source.position_bytes, alignment)
    for tensor in tensors.values():
        if begin_bytes + tensor.offset_bytes + tensor.size_bytes > source.size_bytes:
            raise source.fault(f"ends before tensor {tensor.name!r} does; the download may be incomplete")
    return tuple(tensors.values())


def _padded(size_bytes: int, alignment: int) -> int:
    return -(-size_bytes // alignment) * alignment


def _tensor(source: BoundedBytes) -> Tensor:
    name = source.short_text(MAX_NAME_BYTES, "a tensor's name")
    what = f"tensor {name!r}"
    dims = source.number("<I", f"the dimensions of {what}")
    if not 1 <= dims <= MAX_DIMS:
        raise source.fault(f"has {dims} dimensions in {what}; 1 to {MAX_DIMS} are allowed")
    shape = [source.number("<Q", f"the shape of {what}") for _ in range(dims)]
    kind = source.number("<I", f"the type of {what}")
    offset_bytes = source.number("<Q", f"the offset of {what}")
    if kind not in TENSOR_TYPES:
        raise source.fault(f"has an unknown tensor type {kind} in {what}; a newer promptd may know it")
    type_name, *_ = TENSOR_TYPES[kind]
    return Tensor(name, type_name, offset_bytes, _weight_bytes(source, kind, shape, what))


def _weight_bytes(source: BoundedBytes, kind: int, shape: list[int], what: str) -> int:
    _, block_elements, block_bytes = TENSOR_TYPES[kind]
    elements = math.prod(shape)
    if max(shape) > MAX_ELEMENTS or elements > MAX_ELEMENTS:
        raise source.fault(f"has more than 2^63 elements in {what}")
    if not elements:  # older llama.cpp divided by it
        raise source.fault(f"has a dimension of 0 in {what}")
    if shape[0] % block_elements:
        raise source.fault(f"has rows of {shape[0]} in {what}, not a multiple of {block_elements}")
    return elements // block_elements * block_bytes
