"""Tokens that stand for bytes become text; a character that is not complete waits for its next token."""

import codecs
from collections.abc import Callable


class Utf8Detokenizer:
    """The text of one answer."""

    def __init__(self, piece: Callable[[int], bytes]) -> None:
        self._piece = piece
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """Return the text that this token completes."""
        return self._decoder.decode(self._piece(token))

    def rest(self) -> str:
        """Return a replacement character for a character that was never completed."""
        return self._decoder.decode(b"", final=True)
