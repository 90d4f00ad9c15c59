"""Control groups of boxes: one for each in every hierarchy of this kernel, removed when the box is.

A kernel of today has one hierarchy (version 2). Others have controllers in hierarchies of version 1 beside,
and then systemd in a box needs the one of `memory` for MemoryMax= (`FIRST_PROCESS` in machine.py).
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

MOUNT = Path("/sys/fs/cgroup")
HIERARCHIES = [
    path for path in (MOUNT / "unified", MOUNT / "systemd", MOUNT / "memory") if path.exists()
] or [MOUNT]

ENTER = 'for group in $1; do echo $$ > "$group/cgroup.procs"; done; shift; exec "$@"'


class Cell:
    """A place for one box beside everything else on this machine."""

    def __init__(self, name: str) -> None:
        self._groups = [hierarchy / name for hierarchy in HIERARCHIES]

    def start(self, command: Sequence[str], output: BinaryIO) -> subprocess.Popen[bytes]:
        """Start a process whose children will all be in here."""
        self.remove()
        for group in self._groups:
            group.mkdir()
        enter = ["sh", "-c", ENTER, "sh", " ".join(map(str, self._groups))]
        return subprocess.Popen(
            [*enter, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )

    def is_empty(self) -> bool:
        """Whether no process is left in here."""
        groups = (below for group in self._groups for below in (group, *_below(group)))
        return all(not (group / "cgroup.procs").read_text() for group in groups if group.exists())

    def remove(self) -> None:
        """Remove the groups, the innermost first; also those that an earlier run has left."""
        for group in self._groups:
            for below in (*_below(group), group):
                if below.exists():
                    below.rmdir()


def _below(group: Path) -> list[Path]:
    """Return the groups inside a group, the innermost first."""
    return sorted((path for path in group.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
