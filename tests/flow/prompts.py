"""Prompts, and the entries they become."""

import hashlib

from agent.flow.entries import Entry
from agent.flow.ledger import Ledger
from agent.wire.packets import Publication
from agent.wire.prompt import Message, Priority, Prompt, ReplyTo


def prompt(
    name: str, priority: Priority = "normal", timeout_s: float = 600.0, *, stream: bool = False
) -> Prompt:
    """Return a prompt whose answer goes to a topic of its own."""
    reply_to = ReplyTo(f"answers/{name}", name.encode())
    return Prompt(
        name,
        "chat",
        reply_to,
        (Message("user", name),),
        timeout_s=timeout_s,
        priority=priority,
        stream=stream,
    )


def digest(text: str) -> bytes:
    """Return the digest of a payload."""
    return hashlib.sha256(text.encode()).digest()


def take(ledger: Ledger, one: Prompt) -> str:
    """Hand a prompt to the ledger."""
    return ledger.accept(one, digest(one.id))


def claimed(ledger: Ledger) -> Entry:
    """Claim the prompt that is next."""
    entry = ledger.next_waiting()
    assert entry is not None
    ledger.claim(entry.number)
    return entry


def answer(text: str = "an answer") -> Publication:
    """Return an answer."""
    return Publication(
        "answers/x", text.encode(), correlation=b"\x00\xff", properties=(("event", "completed"),)
    )
