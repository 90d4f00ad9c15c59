"""Opens the SQLite file of the ledger: a damaged one is set aside, an old one is brought up to date."""

import contextlib
import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from agent.host.sqlite_faults import is_damaged
from agent.wire.errors import ConfigError

SCHEMA = Path(__file__).with_name("schema")
PRAGMAS = (
    "journal_mode=WAL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "journal_size_limit=8388608",
    "busy_timeout=1000",  # every thread waits meanwhile, also the one that feeds the watchdog
)
SIDE_FILES = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Opened:
    """A database that is whole and of the newest version."""

    connection: sqlite3.Connection
    set_aside: Path | None
    """Where a damaged file lies now; what it held has to be asked for again."""


def prepare(folder: Path) -> None:
    """Make the folder of the file.

    Raises:
        ConfigError: it cannot be made, or not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make {folder}: {error.strerror}; check state_dir and its owner") from error
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"cannot write to {folder}; check state_dir and its owner")


def open_database(path: Path) -> Opened:
    """Open or create the file, check it, and bring it up to date.

    Raises:
        ConfigError: a newer promptd wrote it.
        sqlite3.Error: the disk is full or fails, or somebody else holds the file.
    """
    path.touch(mode=0o600)  # prompts are nobody else's business; SQLite's side files follow
    try:
        return Opened(_open(path), set_aside=None)
    except sqlite3.DatabaseError as error:
        if not is_damaged(error):
            raise
    aside = _set_aside(path)
    path.touch(mode=0o600)
    return Opened(_open(path), aside)


def _open(path: Path) -> sqlite3.Connection:
    with contextlib.ExitStack() as undo:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        undo.callback(connection.close)
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        _check(connection)
        _upgrade(connection, path)
        undo.pop_all()
    return connection


def _check(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        error = sqlite3.DatabaseError(verdict)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Run the steps that this file has not seen yet, each as one transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    steps = sorted(SCHEMA.glob("*.sql"), key=lambda step: int(step.stem))
    newest = int(steps[-1].stem)
    if version > newest:
        raise ConfigError(
            f"{path} was written by a newer promptd (ledger version {version}, this one knows {newest}); "
            f"install that one again, or move the file aside: what it holds is then not answered"
        )
    for step in steps[version:]:
        script = step.read_text(encoding="utf-8")
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version={step.stem};\nCOMMIT;")


def _set_aside(path: Path) -> Path:
    """Rename a damaged file, with what belongs to it, so that somebody can look at it later."""
    name = f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    for suffix in SIDE_FILES:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(name + suffix))
    return path.with_name(name)
