"""The ledger: prompts that were acknowledged, and answers that are not delivered yet, on disk.

An accepted prompt and a written answer survive a power cut before anybody hears of them. A claim has to
survive only the death of this process or its worker, so it does not wait for the disk. `docs/ledger.md` shows
the states.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Literal, TypeVar

import structlog
from pydantic import ValidationError

from agent.flow import entries, pruning
from agent.flow.entries import PROMPT, PUBLICATION, Entry, Letter
from agent.flow.pruning import Retention
from agent.flow.storage import Storage, now_s
from agent.wire.errors import PromptError, QueueFull
from agent.wire.packets import Publication
from agent.wire.prompt import PRIORITIES, Cancel, Priority, Prompt

LOG = structlog.get_logger("promptd.ledger")

FULL_RETRY_MS = 5000

Reception = Literal["new", "duplicate", "answered", "conflict"]

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much may wait."""

    prompts: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Depth:
    """How much lies in the ledger."""

    waiting: int
    running: int
    unsent: int
    parked: int
    oldest_age_s: float


class Ledger:
    """Safe to use from every thread.

    What has to be written waits until a full disk has room. What may fail does not: new prompts, refusals,
    and the tidying of the thread that looks after the disk.
    """

    def __init__(self, path: Path, capacity: Capacity, idle: Callable[[], None] = lambda: None) -> None:
        self._storage = Storage(path, idle)
        self._capacity = capacity
        self.birth = self._storage.birth.number
        self.is_lost = self._storage.birth.is_ledger_lost
        self.recover = self._storage.recover
        self.set_aside = self._storage.set_aside
        self.disk = self._storage.disk
        self.stop_waiting = self._storage.stop_waiting
        self.close = self._storage.close

    def accept(self, prompt: Prompt, digest: bytes, obstacle: PromptError | None = None) -> Reception:
        """Store a prompt durably, or recognise it; an answered one is armed for delivery again.

        Raises:
            PromptError: the prompt is new, and there is an `obstacle`, or no room (QueueFull).
            DiskShortError: the disk is full; nothing was stored.
        """
        body = PROMPT.dump_json(prompt)

        def take(db: Connection) -> Reception:
            if reception := _recognise(db, prompt.key, digest):
                return reception
            if obstacle:
                raise obstacle
            self._check_room(db, len(body))
            _insert(db, prompt, digest, body)
            return "new"

        return self._storage.try_write(take)

    def recognise(self, key: bytes, digest: bytes) -> Reception | None:
        """Tell what is known of a request that is refused today: it may have been answered yesterday.

        Raises:
            DiskShortError: the disk is full.
        """
        return self._storage.try_write(lambda db: _recognise(db, key, digest))

    def refuse(self, publication: Publication, lifetime_s: float) -> None:
        """Store an answer to a request that is not remembered: sent again, it is judged anew.

        Raises:
            DiskShortError: the disk is full; nothing was stored.
        """
        self._storage.try_write(lambda db: _write(db, None, publication, now_s() + lifetime_s))

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
        claim = "UPDATE prompt SET state = 'running', attempts = attempts + 1 WHERE number = ?"
        self._change(claim, number, durable=False)

    def release(self, number: int, *, is_blamed: bool) -> None:
        """Put a running prompt back into the queue; an attempt that was not its fault is not counted."""
        release = "UPDATE prompt SET state = 'waiting', attempts = attempts - ? WHERE number = ?"
        self._change(release, 0 if is_blamed else 1, number)

    def finish(self, number: int, publication: Publication) -> bool:
        """Write the one ending of a prompt and its delivery as one; False when it has an ending already."""

        def end(db: Connection) -> bool:
            ended = (
                "UPDATE prompt SET state = 'done' WHERE number = ? AND state != 'done' RETURNING deadline_s"
            )
            row = db.execute(ended, (number,)).fetchone()
            if row:
                _write(db, number, publication, row[0])
            return row is not None

        return self._storage.write(end, durable=True)

    def letters(self, limit: int) -> list[Letter]:
        """Return unsent answers, oldest first."""
        query = "SELECT number, body, deadline_s FROM answer WHERE state = 'unsent' ORDER BY number LIMIT ?"
        rows = self._storage.fetch(query, limit)
        orphan = "DELETE FROM prompt WHERE number = (SELECT prompt FROM answer WHERE number = ?)"
        lone = "DELETE FROM answer WHERE number = ?"
        return [one for row in rows if (one := self._read(entries.letter, row, orphan, lone))]

    def replace(self, number: int, publication: Publication) -> bool:
        """Give an answer that nobody can have another content; False when the broker took it once."""
        replace = "UPDATE answer SET body = ? WHERE number = ? AND was_delivered = 0"
        values = (PUBLICATION.dump_json(publication), number)
        return self._storage.write(lambda db: db.execute(replace, values).rowcount > 0, durable=True)

    def delivered(self, number: int) -> None:
        """Close an answer that the broker took; a refusal that nobody remembers is deleted."""

        def close(db: Connection) -> None:
            db.execute("DELETE FROM answer WHERE number = ? AND prompt IS NULL", (number,))
            db.execute("UPDATE answer SET state = 'sent', was_delivered = 1 WHERE number = ?", (number,))

        self._storage.write(close, durable=False)

    def park(self, number: int) -> None:
        """Set an answer aside that the broker refuses; until its request is repeated, or `retry_parked`."""
        self._change("UPDATE answer SET state = 'parked' WHERE number = ?", number)

    def retry_parked(self) -> None:
        """Give answers that were set aside another try: the broker's rules may have changed.

        Raises:
            DiskShortError: the disk is full.
        """
        retry = "UPDATE answer SET state = 'unsent' WHERE state = 'parked'"
        self._storage.try_write(lambda db: db.execute(retry))

    def prune(self, retention: Retention) -> int:
        """Forget delivered answers that are older, or more, than the contract keeps; return how many.

        Raises:
            DiskShortError: the disk is full.
        """
        forgotten = 0
        while count := self._storage.try_write(lambda db: pruning.prune(db, retention, now_s())):
            forgotten += count
        if forgotten:
            self._storage.wipe()
        return forgotten

    def parked(self) -> int:
        """Count the answers that the broker refuses."""
        return int(self._storage.fetch("SELECT count(*) FROM answer WHERE state = 'parked'")[0][0])

    def depth(self) -> Depth:
        """Count what lies in the ledger."""
        waiting, oldest_s = self._storage.fetch(
            "SELECT count(*), min(received_s) FROM prompt WHERE state = 'waiting'"
        )[0]
        (running,) = self._storage.fetch("SELECT count(*) FROM prompt WHERE state = 'running'")[0]
        (unsent,) = self._storage.fetch("SELECT count(*) FROM answer WHERE state = 'unsent'")[0]
        return Depth(waiting, running, unsent, self.parked(), now_s() - oldest_s if waiting else 0.0)

    def _check_room(self, db: Connection, size_bytes: int) -> None:
        query = "SELECT count(*), coalesce(sum(size_bytes), 0) FROM prompt WHERE state = 'waiting'"
        waiting, waiting_bytes = db.execute(query).fetchone()
        if waiting >= self._capacity.prompts:
            limit = f"{waiting} prompts wait, as many as queue.capacity allows; try again later"
            raise QueueFull(limit, retry_after_ms=FULL_RETRY_MS)
        if waiting_bytes + size_bytes > self._capacity.size_bytes:
            limit = f"{waiting_bytes} bytes wait; queue.max_bytes leaves no room for this; try again later"
            raise QueueFull(limit, retry_after_ms=FULL_RETRY_MS)

    def _change(self, statement: str, *values: Any, durable: bool = True) -> None:  # noqa: ANN401 -- what SQLite binds
        self._storage.write(lambda db: db.execute(statement, values), durable=durable)

    def _entries(self, where: str, *values: Any) -> list[Entry]:  # noqa: ANN401 -- what SQLite binds
        columns = "number, body, attempts, received_s, deadline_s"
        rows = self._storage.fetch(f"SELECT {columns} FROM prompt WHERE {where}", *values)  # noqa: S608 -- literals
        forget = "DELETE FROM prompt WHERE number = ?"
        return [one for row in rows if (one := self._read(entries.entry, row, forget))]

    def _read(self, build: Callable[..., Item], row: tuple[Any, ...], *forget: str) -> Item | None:
        """Build what a row holds. One that a bad disk has changed is forgotten; repeated, it is new."""
        try:
            return build(*row)
        except ValidationError:
            LOG.error("ledger_row_unreadable", kind=build.__name__, number=row[0])  # noqa: TRY400 -- its text stays here
        for statement in forget:
            self._change(statement, row[0])
        return None


def _recognise(db: Connection, key: bytes, digest: bytes) -> Reception | None:
    """Tell whether a request is known, and arm its answer if it has one."""
    known = db.execute("SELECT number, digest, state FROM prompt WHERE key = ?", (key,)).fetchone()
    if known is None:
        return None
    number, known_digest, state = known
    if known_digest != digest:
        return "conflict"
    if state != "done":
        return "duplicate"
    db.execute("UPDATE answer SET state = 'unsent' WHERE prompt = ?", (number,))
    return "answered"


def _insert(db: Connection, prompt: Prompt, digest: bytes, body: bytes) -> None:
    received_s = now_s()
    db.execute(
        "INSERT INTO prompt (key, digest, id, priority, body, size_bytes, state, received_s, deadline_s)"
        " VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?, ?)",
        (
            prompt.key,
            digest,
            prompt.id,
            PRIORITIES.index(prompt.priority),
            body,
            len(body),
            received_s,
            received_s + prompt.timeout_s,
        ),
    )


def _write(db: Connection, number: int | None, publication: Publication, deadline_s: float) -> None:
    db.execute(
        "INSERT INTO answer (prompt, body, state, received_s, deadline_s) VALUES (?, ?, 'unsent', ?, ?)",
        (number, PUBLICATION.dump_json(publication), now_s(), deadline_s),
    )
