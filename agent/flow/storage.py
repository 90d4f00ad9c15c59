"""Writes to the SQLite file under the ledger: one connection, and one commit for all who wait for one.

Whoever comes while a commit is on its way to the disk waits for the next one, together with everybody else
who came meanwhile: a wait on the disk is paid once for all of them.
"""

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from agent.flow import birth
from agent.flow.birth import Birth
from agent.flow.database import open_database, prepare
from agent.flow.disk import Disk
from agent.host.sqlite_faults import may_pass, told
from agent.wire.errors import AgentError

FULL, NORMAL = "FULL", "NORMAL"
"""With the first, a commit waits until the disk has it; with the second it may be lost in a power cut."""
PATIENCE_S = 0.5
"""Between two tries of a write that the disk does not take."""

Result = TypeVar("Result")


class DiskShortError(Exception):
    """Nothing can be stored at the moment."""


class StorageError(AgentError):
    """The ledger cannot be opened at the moment; the next start tries again."""


def now_s() -> float:
    """Return the clock of the ledger: seconds since boot, sleep included; it never jumps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Storage:
    """Safe to use from every thread."""

    def __init__(self, path: Path, idle: Callable[[], None] = lambda: None) -> None:
        """Open or create the file; `idle` is called by whoever waits for the disk.

        Raises:
            ConfigError: the folder cannot be written, or a newer promptd wrote the file.
            StorageError: the disk is full even without the ballast, or somebody else holds the file.
        """
        self._lock = threading.RLock()
        self._waiting: deque[_Change[Any]] = deque()
        self._closing = threading.Event()
        self._idle = idle
        prepare(path.parent)
        self.disk = Disk(path.parent)
        self._db, self.set_aside = self._open(path)
        self.birth = self._begin_life(path)

    def write(self, work: Callable[[sqlite3.Connection], Result], *, durable: bool) -> Result:
        """Run `work` as one transaction; while the disk is full or fails, wait until it is not.

        A durable commit is on the disk before this returns. One that is not survives the death of this
        process, but perhaps not a power cut.

        Raises:
            DiskShortError: the agent stops, and the disk is still full.
            sqlite3.Error: nothing was changed, and waiting would not help.
        """
        while True:
            try:
                return self._attempt(_Change(work, durable))
            except DiskShortError:
                self._idle()
                if self._closing.wait(PATIENCE_S):
                    raise

    def try_write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` as one durable transaction, at once or not at all.

        Raises:
            DiskShortError: the disk is full or fails; nothing was changed.
            sqlite3.Error: nothing was changed, for another reason.
        """
        if self.disk.is_short:
            raise DiskShortError
        return self._attempt(_Change(work, durable=True))

    def fetch(self, query: str, *values: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 -- what SQLite binds
        """Return all rows of a query."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def wipe(self) -> None:
        """Write the log back and empty it: deleted text would stand in it until it is overwritten."""
        with self._lock, contextlib.suppress(sqlite3.OperationalError):  # the next pruning empties it
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def recover(self) -> bool:
        """Tell whether a disk that was short has just become well: the ledger itself can be written again."""
        if not self.disk.has_room():
            return False
        try:
            self._attempt(_Change(lambda db: db.execute("UPDATE boot SET births = births"), durable=True))
        except DiskShortError:
            return False
        return self.disk.recover()

    def stop_waiting(self) -> None:
        """Let nobody wait for the disk any more."""
        self._closing.set()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _open(self, path: Path) -> tuple[sqlite3.Connection, Path | None]:
        opened = self._with_ballast(path, lambda: open_database(path))
        return opened.connection, opened.set_aside

    def _begin_life(self, path: Path) -> Birth:
        """Count this start, in the ledger and beside it."""
        file = path.with_name("births")
        earlier = birth.counted(file)

        def begin(db: sqlite3.Connection) -> Birth:
            return birth.begin(db, earlier, now_s())

        begun = self._with_ballast(path, lambda: self._commit(_Change(begin, durable=True)))
        birth.count(file, begun)
        return begun

    def _with_ballast(self, path: Path, attempt: Callable[[], Result]) -> Result:
        """Do what a start cannot do without, if need be with the room of the ballast."""
        try:
            return attempt()
        except sqlite3.Error as error:
            self.disk.trouble(f"the ledger cannot be used: {told(error)}")
        except OSError as error:
            self.disk.trouble(
                f"the ledger cannot be used: {error.strerror}; check the disk, and make room on it"
            )
        try:
            return attempt()
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"the ledger {path} cannot be used: {error}; is the disk full?") from error

    def _attempt(self, change: "_Change[Result]") -> Result:
        """Commit; a disk that does not take it is told of.

        Raises:
            DiskShortError: the disk is full or fails; nothing was changed.
            sqlite3.Error: nothing was changed, for another reason.
        """
        try:
            return self._commit(change)
        except sqlite3.OperationalError as error:
            if not may_pass(error):
                raise
            self.disk.trouble(f"the ledger cannot be written: {told(error)}")
            raise DiskShortError from error

    def _commit(self, change: "_Change[Result]") -> Result:
        self._waiting.append(change)
        with self._lock:
            if not change.is_settled:
                self._commit_waiting()
        return change.outcome()

    def _commit_waiting(self) -> None:
        """Commit all changes that wait as one; one that fails is taken back alone."""
        changes = [self._waiting.popleft() for _ in range(len(self._waiting))]
        is_durable = any(change.is_durable for change in changes)
        try:
            self._db.execute(f"PRAGMA synchronous={FULL if is_durable else NORMAL}")
            self._db.execute("BEGIN IMMEDIATE")
            for change in changes:
                change.apply(self._db)
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            for change in changes:
                change.fail(error)
            if not isinstance(error, sqlite3.Error):
                raise
        for change in changes:
            change.is_settled = True


class _Change(Generic[Result]):
    """What somebody wants written, and what became of it."""

    def __init__(self, work: Callable[[sqlite3.Connection], Result], durable: bool) -> None:  # noqa: FBT001 -- ours alone
        self.is_durable = durable
        self.is_settled = False
        self._work = work
        self._results: list[Result] = []
        self._error: BaseException | None = None

    def apply(self, db: sqlite3.Connection) -> None:
        """Run the work; take it back alone if it refuses.

        Raises:
            sqlite3.OperationalError: the disk failed, and with it the whole transaction.
        """
        db.execute("SAVEPOINT change")
        try:
            self._results = [self._work(db)]
        except BaseException as error:  # handed on to whoever waits for it, unless the disk failed
            if isinstance(error, sqlite3.OperationalError) and may_pass(error):
                raise
            db.execute("ROLLBACK TO change")
            self._error = error
        db.execute("RELEASE change")

    def fail(self, error: BaseException) -> None:
        """Hear that nothing was committed."""
        self._error = self._error or error

    def outcome(self) -> Result:
        """Return what the work returned.

        Raises:
            BaseException: whatever kept it from being written.
        """
        if self._error:
            raise self._error
        return self._results[0]
