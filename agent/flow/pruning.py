"""Which answered prompts are forgotten: what is old, what is too much, and never what is not delivered."""

from dataclasses import dataclass
from sqlite3 import Connection

AT_ONCE = 200
"""Rows of one transaction: nobody else can write meanwhile."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long an answer can be asked for again."""

    age_s: float = 7 * 24 * 3600
    prompts: int = 100_000
    size_bytes: int = 256 * 1024 * 1024
    """Of the whole file; above it the oldest go first, however young they are."""


def prune(db: Connection, retention: Retention, now_s: float) -> int:
    """Forget some of the oldest answered prompts, if there is a reason; return how many.

    Ages begin anew with every boot of the box: the clock of the ledger knows no other days.
    """
    stale = "DELETE FROM answer WHERE prompt IS NULL AND state = 'parked' AND deadline_s < ?"
    db.execute(stale, (now_s,))  # a refusal that the broker never took, and nobody waits for any more
    surplus = _size_bytes(db) > retention.size_bytes
    forget = (
        "DELETE FROM prompt WHERE number IN ("
        " SELECT number FROM prompt WHERE state = 'done'"
        " AND EXISTS (SELECT 1 FROM answer WHERE answer.prompt = prompt.number AND answer.state = 'sent')"
        " AND (:surplus OR received_s < :oldest_s OR number <= (SELECT max(number) FROM prompt) - :prompts)"
        " ORDER BY number LIMIT :at_once)"
    )
    values = {
        "surplus": surplus,
        "oldest_s": now_s - retention.age_s,
        "prompts": retention.prompts,
        "at_once": AT_ONCE,
    }
    return db.execute(forget, values).rowcount


def _size_bytes(db: Connection) -> int:
    """Return what is in use of the file; pages of deleted rows are used again."""
    (page_bytes,), (pages,), (free,) = (
        db.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "page_count", "freelist_count")
    )
    return int(page_bytes * (pages - free))
