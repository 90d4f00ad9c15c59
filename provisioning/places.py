"""Where the fleet's files lie: a folder beside the inventory, named like it (`fleet.yaml`: `fleet/`)."""

import os
from dataclasses import dataclass
from pathlib import Path

from agent.wire.errors import ConfigError

DEFAULT_INVENTORY = Path("fleet.yaml")


@dataclass(frozen=True, slots=True)
class Places:
    """Every file of one fleet."""

    inventory: Path

    @property
    def folder(self) -> Path:
        """Holds keys: nobody but its owner reads it."""
        return self.inventory.with_suffix("")

    @property
    def registry(self) -> Path:
        """What is: devices, certificates, tokens."""
        return self.folder / "registry.db"

    @property
    def audit(self) -> Path:
        """What was done."""
        return self.folder / "audit.jsonl"

    @property
    def authority(self) -> Path:
        """The folder of the authority."""
        return self.folder / "authority"

    @property
    def authorities(self) -> Path:
        """Whom the fleet trusts, PEM, as the authority has told last."""
        return self.folder / "authorities.pem"

    @property
    def broker(self) -> Path:
        """What the broker reads: configuration, rules, certificate, revocation list."""
        return self.folder / "broker"

    @property
    def service(self) -> Path:
        """Key and certificate of `promptd-fleet serve`."""
        return self.folder / "service"

    @property
    def lock(self) -> Path:
        """Held by `apply`."""
        return self.folder / "lock"

    @property
    def broker_lock(self) -> Path:
        """Held by whoever writes for the broker: else older rules could arrive after newer ones."""
        return self.folder / "broker.lock"

    def client(self, name: str) -> Path:
        """Return the folder of a requester: `cert.pem`, `key.pem`, `ca.pem`."""
        return self.folder / "clients" / name

    def claim(self, name: str) -> Path:
        """Return the folder of a batch: `claim.pem`, `claim.key`, `ca.pem`."""
        return self.folder / "claims" / name

    def bundle(self, device: str) -> Path:
        """Return the archive that is carried to a box by hand."""
        return self.folder / "bundles" / f"{device}.tar.gz"

    def make(self) -> None:
        """Make the folder, closed to everybody else, and unknown to git.

        Raises:
            ConfigError: it cannot be made.
        """
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            (self.folder / ".gitignore").write_text("*\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"cannot make {self.folder}: {error.strerror}; put the inventory where you may write"
            ) from error

    def refuse_root(self) -> None:
        """Keep root out of another user's fleet: its files would be root's, and its links lead root astray.

        Raises:
            ConfigError: this process is root's, and the folder is not.
        """
        nearest = self.folder if os.path.lexists(self.folder) else self.folder.parent
        owners = {nearest.lstat().st_uid, self.folder.parent.stat().st_uid}
        if os.geteuid() == 0 and owners != {0}:
            raise ConfigError(
                f"{self.folder} belongs to another user; work as that user, by su - NAME (docs/fleet.md)"
            )


def places_of(inventory: Path) -> Places:
    """Return the places of a fleet.

    Raises:
        ConfigError: the name of the inventory has no suffix, so there is no other name for its folder.
    """
    if inventory.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{inventory} must end in .yaml: its files lie in a folder of the name without it")
    return Places(inventory.absolute())
