"""The guard before native code: a variant's files are what its manifest says, and stay so while they load.

To read a whole model takes about as long as to load it. So the verdict is remembered together with what the
kernel tells of each file, and only a file that has changed since is read again.
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from agent.models.manifest import Model, ModelVariant
from agent.models.soundness import fault_of_variant
from agent.models.store import Store

Stamp = tuple[int, int, int, int, int] | None
"""Device, inode, size, and when the content and when anything else last changed; None without a file."""


class ModelGuard:
    """Answers for the files of one variant; one thread."""

    def __init__(self, model: Model, variant: ModelVariant) -> None:
        self._model = replace(model, variants=(variant,))
        self._paths = [model.folder / PurePosixPath(file.path) for file in variant.files]
        self._seen: dict[Path, Stamp] = {}
        self._fault = "it was not looked at"

    def admit(self, idle: Callable[[], None]) -> str:
        """Return why native code must not see the files; empty when it may. `idle` is called now and then."""
        stamps = self._stamps()
        if stamps != self._seen:
            self._fault = self._look(idle)
            self._seen = stamps
        return self._fault

    def changed(self) -> str:
        """Return which file is not the one any more that was admitted; empty when all are."""
        for path, stamp in self._stamps().items():
            if stamp != self._seen.get(path):
                return f"{path} was changed while it was loaded; it is checked and loaded again"
        return ""

    def _look(self, idle: Callable[[], None]) -> str:
        found = Store.verify(self._model, lambda *_: idle())
        faults = [f"{one.path} {one.fault}" for one in found if one.fault]
        return faults[0] if faults else fault_of_variant(self._model, self._model.variants[0])

    def _stamps(self) -> dict[Path, Stamp]:
        return {path: _stamp(path) for path in self._paths}


def _stamp(path: Path) -> Stamp:
    with contextlib.suppress(OSError):
        told = path.stat()
        return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns
    return None
