"""The tokens of an ONNX model folder, read from tokenizer.json: their bytes, and which are control tokens.

Two ways to write bytes as text are in use. Byte-level BPE gives each byte a printable character,
SentencePiece writes a blank as U+2581 and a lone byte as <0x0A>. The decoder in the file tells which.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.engines.contract import CONTROL
from agent.engines.plain_text import PIPED
from agent.wire.errors import EngineError

BLANK = "\u2581"
MOST_TOKENS = 4 * 1024 * 1024
LONE_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def token_bytes(folder: Path) -> tuple[bytes, ...]:
    """Return the bytes of every token by its number; control tokens begin with 0xff.

    Raises:
        EngineError: tokenizer.json is missing, damaged, or of a kind that does not tell the bytes.
    """
    path = folder / "tokenizer.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        numbers = _numbers(content["model"]["vocab"])
        added = {int(one["id"]): _added(one) for one in content["added_tokens"]}
        read = _reader(content)
        pieces = {number: read(text) for text, number in numbers.items()} | added
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EngineError(f"{path} does not tell the bytes of the tokens: {error!r}") from error
    if max(pieces) > MOST_TOKENS:
        raise EngineError(f"{path} has a token number {max(pieces)}; at most {MOST_TOKENS} are believed")
    return tuple(pieces.get(number, b"") for number in range(max(pieces) + 1))


def control_tokens(folder: Path, end_tokens: Collection[int]) -> dict[int, str]:
    """Return the texts that the tokenizer of a folder takes for control tokens, by their numbers.

    Raises:
        EngineError: tokenizer.json is missing or damaged.
    """
    path = folder / "tokenizer.json"
    try:
        added = json.loads(path.read_text(encoding="utf-8"))["added_tokens"]
        texts = {int(one["id"]): (str(one["content"]), bool(one.get("special"))) for one in added}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EngineError(f"{path} does not tell the control tokens: {error!r}") from error
    return {
        number: text
        for number, (text, is_special) in texts.items()
        if is_special or number in end_tokens or PIPED.fullmatch(text)
    }


def _numbers(vocabulary: Any) -> dict[str, int]:  # noqa: ANN401 -- any JSON
    """BPE writes a vocabulary as {piece: number}, Unigram as a list of [piece, score]."""
    if isinstance(vocabulary, list):
        return {str(piece): number for number, (piece, _) in enumerate(vocabulary)}
    return {str(piece): int(number) for piece, number in vocabulary.items()}


def _added(token: Mapping[str, Any]) -> bytes:
    text = str(token["content"])
    is_control = bool(token.get("special")) or (text.startswith("<") and text.endswith(">"))
    return CONTROL * is_control + text.encode()


def _reader(content: Mapping[str, Any]) -> "_ByteLevel | _SentencePiece":
    kinds = {str(part.get("type")) for part in _parts(content.get("decoder") or {})}
    if "ByteLevel" in kinds:
        return _ByteLevel()
    if kinds & {"Metaspace", "ByteFallback", "Replace"}:
        return _SentencePiece()
    raise ValueError(f"decoder {sorted(kinds)} is unknown")


def _parts(decoder: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield decoder
    for part in decoder.get("decoders", ()):
        yield from _parts(part)


class _ByteLevel:
    """Printable bytes of Latin-1 stand for themselves, the others for 256 and up, in their order."""

    def __init__(self) -> None:
        printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = [byte for byte in range(0x100) if byte not in printable]
        self._bytes = {chr(byte): byte for byte in printable}
        self._bytes |= {chr(0x100 + place): byte for place, byte in enumerate(others)}

    def __call__(self, piece: str) -> bytes:
        return bytes(self._bytes[character] for character in piece)


class _SentencePiece:
    def __call__(self, piece: str) -> bytes:
        if found := LONE_BYTE.fullmatch(piece):
            return bytes.fromhex(found[1])
        return piece.replace(BLANK, " ").encode()
