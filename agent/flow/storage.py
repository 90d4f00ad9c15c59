"""The SQLite file under the ledger: one connection, one lock, and the choice what a commit must survive."""

import contextlib
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.wire.errors import ConfigError

SCHEMA = Path(__file__).with_name("schema.sql")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PRAGMAS = (
    "journal_mode=WAL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "journal_size_limit=8388608",
    "busy_timeout=5000",
)


def now_s() -> float:
    """Return the clock of the ledger: seconds since boot, sleep included; it never jumps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Storage:
    """Safe to use from every thread."""

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            ConfigError: the folder cannot be written, or the file is no ledger.
        """
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)  # prompts are nobody else's business; SQLite's side files follow
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for pragma in PRAGMAS:
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(SCHEMA.read_text(encoding="utf-8"))
            self.birth = self._begin_life()
        except (OSError, sqlite3.Error) as error:
            cure = "check state_dir; if the file is damaged, move it aside: what it held is then lost"
            raise ConfigError(f"cannot open the ledger {path}: {error}; {cure}") from error

    @contextlib.contextmanager
    def transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """Run statements as one; a durable commit is on the disk before this returns.

        A commit that is not durable survives the death of this process, but perhaps not a power cut.

        Raises:
            sqlite3.Error: nothing was changed.
        """
        with self._lock:
            self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def fetch(self, query: str, *values: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 -- what SQLite binds
        """Return all rows of a query."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _begin_life(self) -> int:
        """Count this start; requeue what was running; after a reboot give open prompts their time anew."""
        boot_id = BOOT_ID.read_text().strip() if BOOT_ID.exists() else uuid.uuid4().hex
        with self.transaction(durable=True) as db:
            row = db.execute("SELECT id, births FROM boot").fetchone()
            births = 1 + (row[1] if row else 0)
            if row and row[0] != boot_id:
                for table in ("prompt", "answer"):
                    db.execute(
                        f"UPDATE {table} SET deadline_s = deadline_s - received_s + :now, received_s = :now",  # noqa: S608 -- two literals
                        {"now": now_s()},
                    )
            db.execute("DELETE FROM boot")
            db.execute("INSERT INTO boot (id, births) VALUES (?, ?)", (boot_id, births))
            db.execute("UPDATE prompt SET state = 'waiting' WHERE state = 'running'")
            db.execute("UPDATE answer SET state = 'unsent' WHERE state = 'parked'")
        return births
