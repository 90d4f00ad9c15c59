"""Room on the disk: a ballast that is thrown off when it is full, so that what runs can still be answered."""

import os
import shutil
import threading
from pathlib import Path

import structlog

LOG = structlog.get_logger("promptd.disk")

BALLAST_BYTES = 4 * 1024 * 1024
RESERVE_BYTES = 4 * 1024 * 1024
"""What must be free beside the ballast before new prompts are taken (again)."""


class Disk:
    """The file system that holds the ledger; safe to use from every thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"
        self._lock = threading.Lock()
        self._is_short = False
        self._reason = ""
        self._load()

    @property
    def is_short(self) -> bool:
        """Whether nothing new may be stored, because what is left is for the answers of what is there."""
        if not self._is_short and self._free_bytes() < RESERVE_BYTES:
            self.trouble("the disk is almost full; make room on it")
        return self._is_short

    @property
    def reason(self) -> str:
        """Why it is short, for the operator; empty when it is not."""
        return self._reason

    def trouble(self, reason: str) -> None:
        """Hear that something could not be written, and what to do about it; throw off the ballast."""
        with self._lock:
            if not self._is_short:
                LOG.error("disk_trouble", reason=reason, folder=str(self._folder))
            self._is_short, self._reason = True, reason
            self._ballast.unlink(missing_ok=True)

    def has_room(self) -> bool:
        """Tell whether a disk that was short may be well again."""
        return self._is_short and self._free_bytes() >= BALLAST_BYTES + RESERVE_BYTES

    def recover(self) -> bool:
        """Take the ballast on again; tell whether the disk is well now."""
        with self._lock:
            self._load()
            if not self._is_short:
                LOG.info("disk_has_room", folder=str(self._folder))
            return not self._is_short

    def _load(self) -> None:
        """Write the ballast, and know by that whether the disk can be written."""
        try:
            if not self._ballast.exists() or self._ballast.stat().st_size != BALLAST_BYTES:
                _write_out(self._ballast)
        except OSError as error:
            self._is_short, self._reason = (
                True,
                f"cannot write to {self._folder}: {error.strerror}; make room on it",
            )
            self._ballast.unlink(missing_ok=True)
        else:
            self._is_short, self._reason = False, ""

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self._folder).free


def _write_out(path: Path) -> None:
    """Fill a file with blocks that are really taken: a sparse one would hold no room."""
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
        else:
            file.write(bytes(BALLAST_BYTES))
