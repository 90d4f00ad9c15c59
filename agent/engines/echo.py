"""The engine that repeats the prompt: no model, always the same answer. One token is one byte."""

from collections.abc import Sequence

import numpy as np

from agent.engines.contract import Feed, Lexicon, Logits, Tell
from agent.engines.options import EngineFacts, EngineOptions
from agent.engines.utf8 import Utf8Detokenizer
from agent.wire.prompt import Message

END = 256
VOCABULARY = 257


class Echo:
    """Answers with the last message, byte by byte, through the same step loop as every engine."""

    end_tokens = frozenset({END})
    is_one_pass = True
    can_rewind = True
    shelf = None

    def __init__(self, options: EngineOptions) -> None:
        self.facts = EngineFacts(
            device="none",
            library="echo",
            slots=options.slots,
            context_length=options.context_length,
            threads=1,
            vocabulary=VOCABULARY,
        )
        self._fed: dict[int, list[int]] = {}
        self._prompt_length: dict[int, int] = {}

    def chat_tokens(self, messages: Sequence[Message]) -> list[int]:
        """Return the bytes of the last message."""
        return self.text_tokens(messages[-1].content)

    def text_tokens(self, text: str) -> list[int]:
        """Return the bytes of the text."""
        return list(text.encode())

    def detokenizer(self) -> Utf8Detokenizer:
        """Return a fresh detokenizer."""
        return Utf8Detokenizer(lambda token: bytes([token]))

    def lexicon(self) -> Lexicon:
        """Return one token for each byte, and the end."""
        tokens = (*(bytes([byte]) for byte in range(256)), b"\xff<end>")
        return Lexicon(tokens, END, self.text_tokens)

    def forward(self, feeds: Sequence[Feed]) -> list[Logits]:
        """Return logits that allow only the next byte of the prompt, then the end."""
        return [self._next(feed) for feed in feeds]

    def _next(self, feed: Feed) -> Logits:
        fed = self._fed.setdefault(feed.slot, [])
        del fed[feed.start :]
        fed.extend(feed.tokens)
        logits = np.full((feed.outputs, VOCABULARY), -1e9, dtype=np.float32)
        if feed.outputs:
            prompt_length = self._prompt_length.setdefault(feed.slot, len(fed))
            for row, length in enumerate(range(len(fed) - feed.outputs + 1, len(fed) + 1)):
                answered = length - prompt_length
                logits[row, fed[answered] if answered < prompt_length else END] = 0.0
        return logits

    def truncate(self, slot: int, length: int) -> None:
        """Forget what was fed to this slot from `length` on."""
        del self._fed.get(slot, [])[length:]
        if not length:
            self._prompt_length.pop(slot, None)

    def close(self) -> None:
        """Release nothing."""


def open_engine(options: EngineOptions, _tell: Tell | None = None) -> Echo:
    """Open the echo engine."""
    return Echo(options)
