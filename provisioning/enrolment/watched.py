"""The inventory as it is now: read again when the file has changed, so that nobody restarts the service."""

import os
from pathlib import Path

import structlog

from agent.wire.errors import ConfigError
from provisioning.inventory import Inventory
from provisioning.inventory_file import read_inventory

LOG = structlog.get_logger("promptd.enrolment")

Stamp = tuple[int, int, int]


class WatchedInventory:
    """Hands out the last inventory that was sound. Raises ConfigError at first if there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._look()
        self._inventory = read_inventory(path)

    def __call__(self) -> Inventory:
        """Return the inventory; a mistake in a changed file is told once, and the old one goes on."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._inventory = read_inventory(self._path)
                LOG.info("inventory_read", file=str(self._path))
            except ConfigError as error:
                LOG.error("inventory_refused", reason=str(error), hint="the inventory of before goes on")  # noqa: TRY400 -- one line for the operator
        return self._inventory

    def _look(self) -> Stamp:
        try:
            seen = os.stat(self._path)  # noqa: PTH116 -- one call for all three
        except OSError:
            return (0, 0, 0)
        return (seen.st_ino, seen.st_size, seen.st_mtime_ns)
