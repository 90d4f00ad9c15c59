"""One fleet, opened: its inventory, where its files lie, what is registered, and the log of what is done."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agent.host.lock import hold
from agent.settings import BrokerSettings
from agent.wire.errors import ConfigError
from provisioning.audit import Audit
from provisioning.inventory import Inventory
from provisioning.inventory_file import read_inventory
from provisioning.keeping import AUTHORITIES
from provisioning.places import Places, places_of
from provisioning.registry import Registry


@dataclass(frozen=True, slots=True)
class Fleet:
    """What every command works with."""

    inventory: Inventory
    places: Places
    registry: Registry
    audit: Audit

    def hold_broker(self) -> IO[str]:
        """Wait until nobody else writes for the broker, and keep all others away as long as the file is open.

        Raises:
            ConfigError: the folder cannot be written.
        """
        try:
            return hold(self.places.broker_lock)
        except ConfigError:
            sys.stderr.write("waiting for another promptd-fleet that brings the broker its files\n")
            return hold(self.places.broker_lock, waits=True)

    @property
    def link(self) -> BrokerSettings:
        """How this machine connects to the broker: as the provisioning service."""
        broker, folder = self.inventory.broker, self.places.service
        return BrokerSettings(
            url=broker.url,
            root=broker.root,
            ca_file=folder / AUTHORITIES,
            cert_file=folder / "cert.pem",
            key_file=folder / "key.pem",
        )


@contextmanager
def open_fleet(inventory_file: Path, actor: str = "") -> Iterator[Fleet]:
    """Open a fleet for as long as the block lasts.

    Raises:
        ConfigError: the inventory has mistakes, or the folder beside it cannot be used.
    """
    places = places_of(inventory_file)
    inventory = read_inventory(inventory_file)
    places.refuse_root()
    places.make()
    with Registry(places.registry) as registry:
        yield Fleet(inventory, places, registry, Audit(places.audit, actor))
