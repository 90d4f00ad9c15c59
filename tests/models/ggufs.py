"""GGUF files by hand, so that each can be wrong in exactly one way."""

import struct
from pathlib import Path


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str, kind: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + value


def number(key: str, value: int) -> bytes:
    return pair(key, 4, struct.pack("<I", value))


def text(key: str, value: str) -> bytes:
    return pair(key, 8, string(value))


def tensor(name: str = "w", shape: tuple[int, ...] = (32,), kind: int = 0, offset: int = 0) -> bytes:
    sizes = struct.pack(f"<{len(shape)}Q", *shape)
    return string(name) + struct.pack("<I", len(shape)) + sizes + struct.pack("<IQ", kind, offset)


PAIRS = (
    text("general.architecture", "llama"),
    number("general.file_type", 0),
    number("llama.block_count", 2),
    number("llama.context_length", 128),
    number("llama.embedding_length", 64),
    number("llama.attention.head_count", 4),
    number("llama.attention.head_count_kv", 2),
)


def gguf(
    pairs: tuple[bytes, ...] = PAIRS,
    tensors: tuple[bytes, ...] = (tensor(),),
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    claimed_tensors: int | None = None,
    claimed_pairs: int | None = None,
    weights: bytes = bytes(128),
) -> bytes:
    counts = (
        len(tensors) if claimed_tensors is None else claimed_tensors,
        len(pairs) if claimed_pairs is None else claimed_pairs,
    )
    head = magic + struct.pack("<IQQ", version, *counts) + b"".join(pairs) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + weights


def write(folder: Path, content: bytes, name: str = "model.gguf") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path
