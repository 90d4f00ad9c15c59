"""What lies in the ledger, as it is read back; a bad disk may have changed it."""

from dataclasses import dataclass

from pydantic import TypeAdapter

from agent.wire.packets import Publication
from agent.wire.prompt import Prompt

PROMPT = TypeAdapter(Prompt)
PUBLICATION = TypeAdapter(Publication)


@dataclass(frozen=True, slots=True)
class Entry:
    """A prompt in the ledger."""

    number: int
    prompt: Prompt
    attempts: int
    received_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Letter:
    """An answer that waits for its delivery."""

    number: int
    publication: Publication
    deadline_s: float


def entry(number: int, body: bytes, attempts: int, received_s: float, deadline_s: float) -> Entry:
    """Build a prompt from its row.

    Raises:
        ValidationError: its body cannot be read.
    """
    return Entry(number, PROMPT.validate_json(body), attempts, received_s, deadline_s)


def letter(number: int, body: bytes, deadline_s: float) -> Letter:
    """Build an answer from its row.

    Raises:
        ValidationError: its body cannot be read.
    """
    return Letter(number, PUBLICATION.validate_json(body), deadline_s)
