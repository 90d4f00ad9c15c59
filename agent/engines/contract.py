"""What every engine promises: one forward step for several sequences. The step loop is in `batch.py`.

An engine owns weights, tokenizer and KV cache. It knows nothing of prompts, sampling, deadlines or MQTT.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.engines.options import EngineFacts
from agent.wire.prompt import Message

Logits = NDArray[np.float32]
"""Shape (vocabulary,)."""


@dataclass(frozen=True, slots=True)
class Feed:
    """Tokens of one sequence that enter the model in this step."""

    slot: int
    tokens: Sequence[int]
    start: int
    """Position of the first of these tokens in the sequence."""
    wants_logits: bool
    """Whether the logits after the last token are needed (not so inside a long prompt)."""


class Detokenizer(Protocol):
    """Turns the tokens of one answer into text, never cutting a character."""

    def push(self, token: int) -> str:
        """Return the text that is complete with this token; may be empty."""
        ...

    def rest(self) -> str:
        """Return what is left at the end."""
        ...


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

    def forward(self, feeds: Sequence[Feed]) -> list[Logits | None]:
        """Compute all feeds in one step; logits in the order of the feeds, None where none were wanted.

        Raises:
            EngineError: the runtime failed; the engine must be closed.
        """
        ...

    def forget(self, slot: int) -> None:
        """Drop the KV cache of a slot."""
        ...

    def close(self) -> None:
        """Release everything; may be called twice."""
        ...
