"""Fills a ledger under strace, and says so on standard output: that write is the acknowledgement.

The agent acknowledges a prompt, or publishes an answer, after exactly these steps of the ledger.
"""

import hashlib
import re
import sqlite3
import sys
from functools import partial
from pathlib import Path
from typing import Any

from agent.flow.ledger import Capacity, Ledger
from agent.wire.packets import Publication
from agent.wire.prompt import Message, Prompt, ReplyTo

CHECKPOINT_PAGES = 100
"""Far below SQLite's 1000: cuts shall fall into checkpoints, too."""
SYNCHRONOUS = re.compile(r"synchronous\s*=\s*(FULL|EXTRA)")


class Connection(sqlite3.Connection):
    """A connection whose checkpoints come early; the lax one leaves out the waiting for the disk."""

    is_lax = False

    def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 -- as sqlite3's
        super().__init__(*given, **named)
        super().execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:  # noqa: ANN401 -- as sqlite3's
        """Run a statement; the negative control waits for the disk at checkpoints only."""
        statement = SYNCHRONOUS.sub("synchronous=NORMAL", sql) if self.is_lax else sql
        return super().execute(statement, parameters)


def main() -> None:
    """Accept and finish prompts: PATH COUNT full|lax."""
    path, count, kind = sys.argv[1:]
    Connection.is_lax = kind == "lax"
    sqlite3.connect = partial(sqlite3.connect, factory=Connection)  # type: ignore[assignment]  # for the ledger only
    ledger = open_ledger(Path(path))
    for number in range(int(count)):
        _live(ledger, f"prompt-{number}")


def open_ledger(path: Path) -> Ledger:
    """Open a ledger that has room for everything."""
    return Ledger(path, Capacity(100_000, 1 << 30))


def _live(ledger: Ledger, name: str) -> None:
    """Lead one prompt through the ledger; every third stays in the queue."""
    reply_to = ReplyTo("promptd/v1/client/power/response/all", name.encode())
    prompt = Prompt(name, "chat", reply_to, (Message("user", name * 20),))
    ledger.accept(prompt, hashlib.sha256(name.encode()).digest())
    _say(f"accepted {name}")
    entry = ledger.next_waiting()
    if entry is None or hash_of(name) % 3 == 0:
        return
    ledger.claim(entry.number)
    ledger.finish(entry.number, Publication(reply_to.topic, name.encode() * 20, correlation=name.encode()))
    _say(f"finished {entry.prompt.id}")


def hash_of(name: str) -> int:
    """Return a number that is the same in every process."""
    return hashlib.sha256(name.encode()).digest()[0]


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
