"""What every engine promises: one forward step for several sequences. The step loop is in `batch.py`.

An engine owns weights, tokenizer and KV cache. It knows nothing of prompts, sampling, deadlines or MQTT.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.engines.options import EngineFacts
from agent.wire.prompt import Message

Tell = Callable[[float], None]
"""Called with the share that is done, 0 to 1."""
Logits = NDArray[np.float32]
"""Shape (vocabulary,); of a feed: (outputs, vocabulary). Valid until the next step."""


@dataclass(frozen=True, slots=True)
class Feed:
    """Tokens of one sequence that enter the model in this step."""

    slot: int
    tokens: Sequence[int]
    start: int
    """Position of the first of these tokens in the sequence."""
    outputs: int
    """How many of the last tokens give logits: 0 inside a long prompt, 1 to go on, more to check a draft."""
    is_alone: bool = False
    """Whether it needs a forward pass of its own, so that its numbers do not depend on the others."""


class Detokenizer(Protocol):
    """Turns the tokens of one answer into text, never cutting a character."""

    def push(self, token: int) -> str:
        """Return the text that is complete with this token; may be empty."""
        ...

    def rest(self) -> str:
        """Return what is left at the end."""
        ...


class Shelf(Protocol):
    """Keeps keys and values of prompt beginnings apart from the slots, in numbered segments."""

    @property
    def tokens(self) -> int:
        """How many tokens all segments may hold together."""
        ...

    @property
    def first_tokens(self) -> int:
        """How many it should hold as long as nobody has seen prompts that share their beginning."""
        ...

    @property
    def segments(self) -> int:
        """How many segments there may be."""
        ...

    @property
    def held_tokens(self) -> int:
        """How many tokens all segments take at this moment."""
        ...

    def cost(self, start: int, stop: int) -> int:
        """Return how many tokens a new segment would take."""
        ...

    def least_tokens(self, kept: int) -> int:
        """Return how many tokens a segment that follows `kept` ones must have to be worth it."""
        ...

    def keep(self, slot: int, start: int, stop: int) -> int:
        """Keep positions `start` to `stop` of a slot as a new segment; return its number."""
        ...

    def restore(self, segments: Sequence[int], slot: int) -> None:
        """Give an empty slot what segments hold that follow each other from position 0 on, and maybe more."""
        ...

    def split(self, segment: int, at: int) -> int:
        """Cut a segment before position `at`; return the number of the new, later part."""
        ...

    def drop(self, segment: int) -> None:
        """Free a segment; slots it was restored to keep what they have."""
        ...


CONTROL = b"\xff"
"""What the bytes of a control token begin with; no UTF-8 text holds it."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What structured output needs to know of a tokenizer."""

    tokens: tuple[bytes, ...]
    """The bytes of every token; control tokens begin with `CONTROL`."""
    end_token: int
    tokenize: Callable[[str], list[int]]


class Engine(Protocol):
    """A loaded model. Not thread-safe: one thread owns it."""

    @property
    def facts(self) -> EngineFacts:
        """What is loaded, and where it runs."""
        ...

    @property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end an answer."""
        ...

    @property
    def shelf(self) -> Shelf | None:
        """Where prompt beginnings are kept; None when this engine cannot share them."""
        ...

    @property
    def is_one_pass(self) -> bool:
        """Whether all feeds of a step are one pass over the weights, however many tokens each has."""
        ...

    @property
    def can_rewind(self) -> bool:
        """Whether a slot can be truncated to any length, and not only emptied."""
        ...

    def lexicon(self) -> Lexicon:
        """Return the tokens as bytes; takes a while for a large vocabulary."""
        ...

    def chat_tokens(self, messages: Sequence[Message]) -> list[int]:
        """Render a chat with the model's own template, up to where the assistant's answer begins.

        Raises:
            EngineError: the template refuses these messages.
        """
        ...

    def text_tokens(self, text: str) -> list[int]:
        """Return the tokens of plain text, with the model's own beginning-of-text token if it wants one."""
        ...

    def detokenizer(self) -> Detokenizer:
        """Return a fresh detokenizer for one answer."""
        ...

    def forward(self, feeds: Sequence[Feed]) -> list[Logits]:
        """Compute all feeds in one step; return the logits of each, (outputs, vocabulary).

        Raises:
            EngineError: the runtime failed; the engine must be closed.
        """
        ...

    def truncate(self, slot: int, length: int) -> None:
        """Drop the keys and values of a slot from position `length` on; 0 empties the slot."""
        ...

    def close(self) -> None:
        """Release everything; may be called twice."""
        ...
