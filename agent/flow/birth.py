"""How often this agent has started: counted in the ledger, and in a file beside it that outlives it."""

import contextlib
import uuid
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Birth:
    """One start."""

    number: int
    """From 1 on; it never goes back, or a will of an old life would pass for news of this one."""
    is_ledger_lost: bool
    """Whether there were earlier starts of which the ledger knows nothing."""


def counted(file: Path) -> int:
    """Return how many starts the file beside the ledger has counted; 0 if it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return int(file.read_text(encoding="ascii"))
    return 0


def count(file: Path, birth: Birth) -> None:
    """Write the number of this start; on a full disk the ledger alone knows it."""
    with contextlib.suppress(OSError):
        file.write_text(str(birth.number), encoding="ascii")


def begin(db: Connection, earlier: int, now_s: float) -> Birth:
    """Count this start; requeue what was running; after a reboot give open prompts their time anew."""
    boot_id = BOOT_ID.read_text().strip() if BOOT_ID.exists() else uuid.uuid4().hex
    row = db.execute("SELECT id, births FROM boot").fetchone()
    number = 1 + max(earlier, row[1] if row else 0)
    if row and row[0] != boot_id:
        for table in ("prompt", "answer"):
            db.execute(
                f"UPDATE {table} SET deadline_s = deadline_s - received_s + :now, received_s = :now",  # noqa: S608 -- two literals
                {"now": now_s},
            )
    db.execute("DELETE FROM boot")
    db.execute("INSERT INTO boot (id, births) VALUES (?, ?)", (boot_id, number))
    db.execute("UPDATE prompt SET state = 'waiting' WHERE state = 'running'")
    db.execute("UPDATE answer SET state = 'unsent' WHERE state = 'parked'")
    return Birth(number, is_ledger_lost=row is None and earlier > 0)
