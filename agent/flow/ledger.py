"""The ledger: prompts that were acknowledged, and answers that are not delivered yet, on disk.

An accepted prompt and a written answer survive a power cut before anybody hears of them. A claim has to
survive only the death of this process or its worker, so it does not wait for the disk.
"""

from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Literal

from pydantic import TypeAdapter

from agent.flow.storage import Storage, now_s
from agent.wire.errors import PromptError, QueueFull
from agent.wire.packets import Publication
from agent.wire.prompt import PRIORITIES, Cancel, Priority, Prompt

RETENTION_S = 7 * 24 * 3600
RETENTION_ROWS = 100_000
FULL_RETRY_MS = 5000

Reception = Literal["new", "duplicate", "answered", "conflict"]

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


@dataclass(frozen=True, slots=True)
class Depth:
    """How much lies in the ledger."""

    waiting: int
    running: int
    unsent: int
    oldest_age_s: float


class Ledger:
    """Safe to use from every thread; every method raises sqlite3.Error when the disk fails."""

    def __init__(self, path: Path, capacity: int) -> None:
        self._storage = Storage(path)
        self._capacity = capacity
        self.birth = self._storage.birth
        self.close = self._storage.close

    def accept(self, prompt: Prompt, digest: bytes, obstacle: PromptError | None = None) -> Reception:
        """Store a prompt durably, or recognise it; an answered one is armed for delivery again.

        Raises:
            PromptError: the prompt is new, and there is an `obstacle`, or no room (QueueFull).
        """
        with self._storage.transaction(durable=True) as db:
            query = "SELECT number, digest, state FROM prompt WHERE key = ?"
            if known := db.execute(query, (prompt.key,)).fetchone():
                return _recognise(db, known, digest)
            if obstacle:
                raise obstacle
            (waiting,) = db.execute("SELECT count(*) FROM prompt WHERE state = 'waiting'").fetchone()
            if waiting >= self._capacity:
                limit = f"{waiting} prompts wait, as many as queue.capacity allows; try again later"
                raise QueueFull(limit, retry_after_ms=FULL_RETRY_MS)
            _insert(db, prompt, digest)
        return "new"

    def refuse(self, publication: Publication, lifetime_s: float) -> None:
        """Store an answer to a request that is not remembered: sent again, it is judged anew."""
        with self._storage.transaction(durable=True) as db:
            _write(db, None, publication, now_s() + lifetime_s)

    def next_waiting(self) -> Entry | None:
        """Return the prompt that is served next: by priority, then first come first served."""
        return next(iter(self._entries("state = 'waiting' ORDER BY priority, number LIMIT 1")), None)

    def next_expired(self) -> Entry | None:
        """Return a prompt that waited too long."""
        due = "state = 'waiting' AND deadline_s <= ? ORDER BY deadline_s LIMIT 1"
        return next(iter(self._entries(due, now_s())), None)

    def find(self, cancel: Cancel) -> list[Entry]:
        """Return the open prompts that a cancellation names."""
        if cancel.id is not None:
            return self._entries("id = ? AND state != 'done'", cancel.id)
        key = cancel.reply_to.topic.encode() + b"\0" + cancel.reply_to.correlation
        return self._entries("key = ? AND state != 'done'", key)

    def position(self, prompt: Prompt) -> int:
        """Return how many prompts are served before this one."""
        query = (
            "SELECT count(*) FROM prompt WHERE state = 'waiting' AND (priority, number) <"
            " (SELECT priority, number FROM prompt WHERE key = ?)"
        )
        return int(self._storage.fetch(query, prompt.key)[0][0])

    def waiting_before(self, priority: Priority) -> int:
        """Return how many prompts would be served before a new one of this priority."""
        query = "SELECT count(*) FROM prompt WHERE state = 'waiting' AND priority <= ?"
        return int(self._storage.fetch(query, PRIORITIES.index(priority))[0][0])

    def claim(self, number: int) -> None:
        """Count an attempt before the engine sees the prompt."""
        with self._storage.transaction(durable=False) as db:
            db.execute(
                "UPDATE prompt SET state = 'running', attempts = attempts + 1 WHERE number = ?", (number,)
            )

    def release(self, number: int, *, is_blamed: bool) -> None:
        """Put a running prompt back into the queue; an attempt that was not its fault is not counted."""
        with self._storage.transaction(durable=True) as db:
            db.execute(
                "UPDATE prompt SET state = 'waiting', attempts = attempts - ? WHERE number = ?",
                (0 if is_blamed else 1, number),
            )

    def finish(self, number: int, publication: Publication) -> bool:
        """Write the one ending of a prompt and its delivery as one; False when it has an ending already."""
        with self._storage.transaction(durable=True) as db:
            ended = (
                "UPDATE prompt SET state = 'done' WHERE number = ? AND state != 'done' RETURNING deadline_s"
            )
            row = db.execute(ended, (number,)).fetchone()
            if row:
                _write(db, number, publication, row[0])
        return row is not None

    def letters(self, limit: int) -> list[Letter]:
        """Return unsent answers, oldest first."""
        query = "SELECT number, body, deadline_s FROM answer WHERE state = 'unsent' ORDER BY number LIMIT ?"
        rows = self._storage.fetch(query, limit)
        return [
            Letter(number, PUBLICATION.validate_json(body), deadline_s) for number, body, deadline_s in rows
        ]

    def delivered(self, number: int) -> None:
        """Close an answer that the broker took; a refusal that nobody remembers is deleted."""
        with self._storage.transaction(durable=False) as db:
            db.execute("DELETE FROM answer WHERE number = ? AND prompt IS NULL", (number,))
            db.execute("UPDATE answer SET state = 'sent' WHERE number = ?", (number,))

    def park(self, number: int) -> None:
        """Set an answer aside that the broker refuses; a start or `retry_parked` tries it again."""
        with self._storage.transaction(durable=True) as db:
            db.execute("UPDATE answer SET state = 'parked' WHERE number = ?", (number,))

    def retry_parked(self) -> None:
        """Give answers that were set aside another try: the broker's rules may have changed."""
        with self._storage.transaction(durable=False) as db:
            db.execute("UPDATE answer SET state = 'unsent' WHERE state = 'parked'")

    def prune(self) -> None:
        """Forget delivered answers that are older, or more, than the contract keeps."""
        with self._storage.transaction(durable=False) as db:
            db.execute(
                "DELETE FROM prompt WHERE state = 'done'"
                " AND (received_s < ? OR number <= (SELECT max(number) FROM prompt) - ?)"
                " AND number IN (SELECT prompt FROM answer WHERE state = 'sent')",
                (now_s() - RETENTION_S, RETENTION_ROWS),
            )

    def depth(self) -> Depth:
        """Count what lies in the ledger."""
        waiting, oldest_s = self._storage.fetch(
            "SELECT count(*), min(received_s) FROM prompt WHERE state = 'waiting'"
        )[0]
        (running,) = self._storage.fetch("SELECT count(*) FROM prompt WHERE state = 'running'")[0]
        (unsent,) = self._storage.fetch("SELECT count(*) FROM answer WHERE state = 'unsent'")[0]
        return Depth(waiting, running, unsent, now_s() - oldest_s if waiting else 0.0)

    def _entries(self, where: str, *values: Any) -> list[Entry]:  # noqa: ANN401 -- what SQLite binds
        columns = "number, body, attempts, received_s, deadline_s"
        rows = self._storage.fetch(f"SELECT {columns} FROM prompt WHERE {where}", *values)  # noqa: S608 -- literals
        return [Entry(number, PROMPT.validate_json(body), *rest) for number, body, *rest in rows]


def _recognise(db: Connection, known: tuple[int, bytes, str], digest: bytes) -> Reception:
    number, known_digest, state = known
    if known_digest != digest:
        return "conflict"
    if state != "done":
        return "duplicate"
    db.execute("UPDATE answer SET state = 'unsent' WHERE prompt = ? AND state = 'sent'", (number,))
    return "answered"


def _insert(db: Connection, prompt: Prompt, digest: bytes) -> None:
    received_s = now_s()
    db.execute(
        "INSERT INTO prompt (key, digest, id, priority, body, state, received_s, deadline_s)"
        " VALUES (?, ?, ?, ?, ?, 'waiting', ?, ?)",
        (
            prompt.key,
            digest,
            prompt.id,
            PRIORITIES.index(prompt.priority),
            PROMPT.dump_json(prompt),
            received_s,
            received_s + prompt.timeout_s,
        ),
    )


def _write(db: Connection, number: int | None, publication: Publication, deadline_s: float) -> None:
    db.execute(
        "INSERT INTO answer (prompt, body, state, received_s, deadline_s) VALUES (?, ?, 'unsent', ?, ?)",
        (number, PUBLICATION.dump_json(publication), now_s(), deadline_s),
    )
