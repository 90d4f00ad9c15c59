"""Control groups of boxes: one for each in every hierarchy of this kernel, removed when the box is.

They are all that another run on this machine sees of ours: they begin with the number of our namespace.

A kernel of today has one hierarchy (version 2). Others have controllers in hierarchies of version 1 beside,
and then systemd in a box needs the one of `memory` for MemoryMax= (`FIRST_PROCESS` in machine.py).
"""

import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

MOUNT = Path("/sys/fs/cgroup")
HIERARCHIES = [
    path for path in (MOUNT / "unified", MOUNT / "systemd", MOUNT / "memory") if path.exists()
] or [MOUNT]

RUN = f"promptd-{Path('/proc/self/ns/pid').stat().st_ino}-"

ENTER = 'for group in $1; do echo $$ > "$group/cgroup.procs"; done; shift; exec "$@"'


class Cell:
    """A place for one box beside everything else on this machine."""

    def __init__(self, name: str) -> None:
        self._groups = [hierarchy / f"{RUN}{name}" for hierarchy in HIERARCHIES]

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
        return all(map(_is_empty, self._groups))

    def remove(self) -> None:
        """Remove the groups, the innermost first."""
        for group in self._groups:
            _remove(group)


def remove_what_is_left() -> None:
    """Remove the groups of runs that were killed; in those of a run that lives are processes."""
    left = {group.name for hierarchy in HIERARCHIES for group in hierarchy.glob("promptd-*")}
    for name in left:
        groups = [hierarchy / name for hierarchy in HIERARCHIES]
        with contextlib.suppress(FileNotFoundError):  # another run removes its own meanwhile
            if all(map(_is_empty, groups)):
                for group in groups:
                    _remove(group)


def _is_empty(group: Path) -> bool:
    inside = (each for each in (group, *_below(group)) if each.exists())
    return not any((each / "cgroup.procs").read_text() for each in inside)


def _remove(group: Path) -> None:
    for each in (*_below(group), group):
        if each.exists():
            each.rmdir()


def _below(group: Path) -> list[Path]:
    """Return the groups inside a group, the innermost first."""
    return sorted((path for path in group.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
