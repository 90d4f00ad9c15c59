"""Who did what to whom, and what came of it: `audit.jsonl`, one line an action, never changed afterwards.

Each line carries the SHA-256 of the line before it, so that a line cannot be changed, taken out or put in
without breaking the chain. What the chain cannot show is that its end was cut off: for that, keep the digest
that `promptd-fleet audit verify` prints somewhere else.
"""

import datetime as dt
import getpass
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from agent.wire.errors import ConfigError
from provisioning.written import NotWrittenError

try:
    import fcntl
except ImportError:  # Windows has no flock; one operator at a time there
    fcntl = None  # type: ignore[assignment]  # its absence is the information

BEGINNING = "0" * 64
"""What the first line carries."""
OK, REFUSED, FAILED = "ok", "refused", "failed"
TAIL_BYTES = 65_536
"""No line is longer: details are names, numbers and reasons."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One action."""

    time: str
    """UTC, ISO 8601."""
    actor: str
    action: str
    subject: str
    verdict: str
    details: dict[str, Any]
    before: str
    """SHA-256 of the line before, hexadecimal."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What `verify` found."""

    entries: int
    head: str
    """SHA-256 of the last line: keep it elsewhere."""
    fault: str = ""


class Audit:
    """The file. Several processes may append to it."""

    def __init__(self, path: Path, actor: str = "") -> None:
        self._path = path
        self._actor = actor or _operator()

    def add(self, action: str, subject: str, verdict: str = OK, **details: Any) -> None:  # noqa: ANN401 -- JSON
        """Append an action; it is on the disk when this returns. Details never hold keys or tokens.

        Raises:
            NotWrittenError: the file cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:  # noqa: PTH123 -- a new file is nobody else's
                if fcntl:
                    fcntl.flock(file, fcntl.LOCK_EX)
                self._append(file, action, subject, verdict, details)
        except OSError as error:
            raise NotWrittenError(
                f"cannot write {self._path}: {error.strerror}; nothing is done without a note of it"
            ) from error

    def entries(self) -> Iterator[Entry]:
        """Return what was noted, the oldest first.

        Raises:
            ConfigError: a line is no entry.
        """
        for number, line in enumerate(self._lines(), 1):
            try:
                yield Entry(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise ConfigError(
                    f"{self._path}:{number} is no entry of an audit log; run audit verify"
                ) from error

    def verify(self) -> Finding:
        """Follow the chain from its beginning to its end or to its first break."""
        before, count = BEGINNING, 0
        for line in self._lines():
            count += 1
            try:
                entry = Entry(**json.loads(line))
            except (ValueError, TypeError):
                return Finding(count - 1, before, f"line {count} is no entry")
            if entry.before != before:
                fault = f"line {count} does not follow the one before it: one was changed, or one is missing"
                return Finding(count - 1, before, fault)
            before = hashlib.sha256(line).hexdigest()
        return Finding(count, before)

    def _lines(self) -> list[bytes]:
        try:
            return self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigError(f"cannot read {self._path}: {error.strerror}") from error

    def _append(
        self, file: IO[bytes], action: str, subject: str, verdict: str, details: dict[str, Any]
    ) -> None:
        size = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, size - TAIL_BYTES))
        whole, _, torn = file.read().rpartition(b"\n")
        if torn:  # a power cut within a line: what it told of was never confirmed to anybody
            file.truncate(start + len(whole) + (1 if whole else 0))
            details = {**details, "torn_bytes_cut": len(torn)}
        last = whole.rpartition(b"\n")[2]
        before = hashlib.sha256(last).hexdigest() if last else BEGINNING
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        entry = {
            "time": now,
            "actor": self._actor,
            "action": action,
            "subject": subject,
            "verdict": verdict,
            "details": details,
            "before": before,
        }
        file.seek(0, os.SEEK_END)
        file.write(json.dumps(entry).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _operator() -> str:
    """Return who runs this: the user behind sudo where there is one."""
    behind = os.environ.get("SUDO_USER", "")
    try:
        return behind or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
