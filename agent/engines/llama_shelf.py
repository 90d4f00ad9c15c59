"""Prompt beginnings of a GGUF model, kept outside of its context: states, copied out of a slot and back."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.engines.llama_context import LlamaContext, State

SEGMENTS = 4096
WORTH_COPYING = 16
"""Tokens."""


@dataclass(slots=True)
class Kept:
    """A state, and how many segments are parts of it."""

    state: State
    tokens: int
    segments: int = 1


class LlamaShelf:
    """A segment is a part of a state that reaches from the first token to at least its own end."""

    segments = SEGMENTS

    def __init__(self, context: LlamaContext, tokens: int) -> None:
        self.tokens = tokens
        self.first_tokens = 0
        self.held_tokens = 0
        self._context = context
        self._kept: dict[int, Kept] = {}
        self._next = 0

    def cost(self, _start: int, stop: int) -> int:
        """Return the tokens a new segment takes: the library copies a slot from its first token on."""
        return stop

    def least_tokens(self, kept: int) -> int:
        """Return how many tokens more than what is kept are worth another copy of all of them."""
        return max(WORTH_COPYING, kept // 2)

    def keep(self, slot: int, _start: int, stop: int) -> int:
        """Copy what a slot holds."""
        self.held_tokens += stop
        return self._name(Kept(self._context.state(slot), stop))

    def restore(self, segments: Sequence[int], slot: int) -> None:
        """Copy the state of the last segment into a slot; it holds the earlier ones, too."""
        self._context.set_state(slot, self._kept[segments[-1]].state)

    def split(self, segment: int, _at: int) -> int:
        """Let two segments share a state."""
        kept = self._kept[segment]
        kept.segments += 1
        return self._name(kept)

    def drop(self, segment: int) -> None:
        """Free the state with its last segment."""
        kept = self._kept.pop(segment)
        kept.segments -= 1
        if not kept.segments:
            self.held_tokens -= kept.tokens

    def _name(self, kept: Kept) -> int:
        self._next += 1
        self._kept[self._next] = kept
        return self._next
