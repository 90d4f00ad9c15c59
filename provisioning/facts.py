"""What is there at this moment: in the registry and on this machine's disk. Looks, and judges nothing."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from agent.wire.errors import ConfigError
from provisioning.broker.files import broker_files
from provisioning.bundle import InstallBundle, contents_digest, install_bundles, settings_file
from provisioning.fleet import Fleet
from provisioning.keeping import Keeping, keepings
from provisioning.registry_rows import Certificate, Device, Mark

BROKER = "the broker"
"""The subject of what is brought to it, beside the devices."""
BROUGHT, BUNDLED, INSTALLED, REVOCATIONS, HOSTS = "brought", "bundled", "installed", "revocations", "hosts"
CERTIFIED, STARTED = "certified", "started"
"""Steps that leave a mark."""
PROMPTD = "promptd"
"""The step whose mark says which install bundles a box has been offered."""
BEGUN, DONE = "begun", "done"
"""What the marks of `certified` and `started` say: a certificate that was signed may not have come to the
box, and a box that was set up may not have become ready."""
LISTING = ("own", "files")
"""Kinds of authority whose revocation list we write; the others keep theirs."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What `plan` compares with the inventory."""

    now_s: float
    authorities: str
    """Whom the fleet trusts, PEM; empty when the authority has not been made yet."""
    devices: dict[str, Device]
    """Who belongs to the fleet, by name."""
    claimed: frozenset[str]
    """Devices that a claim lets in, so that they can enrol by themselves."""
    latest: dict[str, Certificate]
    """The newest certificate of every holder, good or not."""
    keepings: tuple[Keeping, ...]
    kept: frozenset[str]
    """Holders whose key and newest certificate lie whole in the fleet's folder."""
    marks: dict[tuple[str, str], Mark]
    told: dict[str, str]
    """Digest of what each device of the inventory is told."""
    for_broker: str
    """Digest of what the broker should have."""
    revocations: str
    """Digest of what a revocation list must name; empty where the authority keeps its list itself."""
    installs: tuple[InstallBundle, ...] = ()
    bundles: frozenset[str] = frozenset()
    """Devices whose bundle lies in the fleet's folder."""

    def offered(self, device: str) -> str:
        """Return the digests of the bundles for a device; where there are none here, of the last ones."""
        return "+".join(bundle.digest for bundle in self.installs) or self.mark(device, PROMPTD)

    def mark(self, subject: str, step: str) -> str:
        """Return with what a step was done last; empty when it never was."""
        mark = self.marks.get((subject, step))
        return mark.digest if mark else ""


def look(fleet: Fleet, dist: Path) -> Facts:
    """Look at everything once; needs neither the authority nor a passphrase.

    Raises:
        ConfigError: a file that the inventory names cannot be read.
    """
    authorities = known_authorities(fleet)
    latest = {each.holder: each for each in fleet.registry.certificates()}
    keeping = keepings(fleet.inventory, fleet.places)
    names, now_s = tuple(fleet.inventory.devices), time.time()
    return Facts(
        now_s=now_s,
        authorities=authorities,
        devices={device.name: device for device in fleet.registry.devices()},
        claimed=frozenset(name for name in names if fleet.inventory.claim_for(name, now_s)),
        latest=latest,
        keepings=keeping,
        kept=frozenset(each.holder for each in keeping if _is_kept(each, latest.get(each.holder))),
        marks=fleet.registry.marks(),
        told={name: contents_digest(told_to(fleet, name, authorities)) for name in names},
        for_broker=contents_digest(broker_files(fleet)),
        revocations=revocations_digest(fleet),
        installs=install_bundles(dist),
        bundles=frozenset(name for name in names if fleet.places.bundle(name).exists()),
    )


def known_authorities(fleet: Fleet) -> str:
    """Return whom the fleet trusts as the authority has told last, PEM; empty before it was ever asked."""
    file = fleet.places.authorities
    return file.read_text(encoding="utf-8") if file.exists() else ""


def told_to(fleet: Fleet, device: str, authorities: str) -> dict[str, bytes]:
    """Return the files that every box gets: its settings, and whom it trusts."""
    return {
        "promptd.toml": settings_file(fleet.inventory, device).encode(),
        "ca.pem": trusted(fleet, authorities).encode(),
    }


def trusted(fleet: Fleet, authorities: str) -> str:
    """Return whom devices trust as the authority of the broker, PEM.

    Raises:
        ConfigError: the file that the inventory names cannot be read.
    """
    if not fleet.inventory.broker.ca_file:
        return authorities
    path = trusted_file(fleet)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"broker.ca_file: cannot read {path} as text ({error}); mend the path") from error


def trusted_file(fleet: Fleet) -> Path:
    """Return the file with whom devices trust: the operator's own, or what the authority has told last."""
    given = fleet.inventory.broker.ca_file
    return fleet.places.inventory.parent / given if given else fleet.places.authorities


def revocations_digest(fleet: Fleet) -> str:
    """Return the digest of what the revocation list must name; empty where somebody else keeps it."""
    if fleet.inventory.authority.kind not in LISTING:
        return ""
    return hashlib.sha256(" ".join(each.number for each in fleet.registry.revoked()).encode()).hexdigest()


def _is_kept(keeping: Keeping, latest: Certificate | None) -> bool:
    return latest is not None and keeping.has(latest.pem)
