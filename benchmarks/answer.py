"""A question to any peer, and what was seen of its answer on the wire."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Question:
    """What a requester asks; every peer gets the same text."""

    text: str
    max_tokens: int
    is_chat: bool = False
    """Whether the model's own chat template is put around the text."""
    schema: dict[str, Any] | None = None
    """What the answer must look like, as JSON schema."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, by the requester's clock."""

    sent_s: float
    first_s: float
    """When the first text came."""
    ended_s: float
    prompt_tokens: int
    completion_tokens: int
    text: str


class Asker(Protocol):
    """The requester's side of one peer; called from many threads at once."""

    def ask(self, question: Question) -> Answer:
        """Ask and wait for the whole answer.

        Raises:
            PeerError: the peer refused or did not answer.
        """
        ...


class PeerError(Exception):
    """A peer does not start, refuses a question, or does not answer."""
