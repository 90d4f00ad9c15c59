"""What is brought to one box, by SSH or in a pocket: one archive, the same bytes from the same contents."""

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from agent.wire.errors import AgentError
from provisioning.device_settings import settings_of, toml
from provisioning.inventory import Inventory

SCRIPT = Path(__file__).with_name("scripts") / "provision.sh"
AUTHORITY_ON_BOX = "/etc/promptd/ca.pem"
"""Whom a box trusts as its broker's authority until its first certificate brings that along."""
READABLE, SECRET = 0o644, 0o600
SECRETS = ("claim.key", "token")


class BundleError(AgentError):
    """A bundle cannot be made."""


@dataclass(frozen=True, slots=True)
class InstallBundle:
    """What `make bundle` has built for one kind of machine."""

    path: Path
    digest: str

    @property
    def machine(self) -> str:
        """As `uname -m` says it."""
        return self.path.name.removesuffix(".tar.gz").rpartition("-")[2]


def install_bundles(folder: Path) -> tuple[InstallBundle, ...]:
    """Return the newest install bundle for each kind of machine."""
    newest: dict[str, Path] = {}
    for path in sorted(folder.glob("promptd-*-*.tar.gz"), key=lambda path: path.stat().st_mtime):
        newest[InstallBundle(path, "").machine] = path
    return tuple(InstallBundle(newest[machine], _digest(newest[machine])) for machine in sorted(newest))


def settings_file(inventory: Inventory, device: str, group: str = "") -> str:
    """Return the promptd.toml of a box."""
    table = settings_of(inventory, device, group)
    return toml({**table, "broker": {**table["broker"], "ca_file": AUTHORITY_ON_BOX}})


def archive(contents: dict[str, bytes], installs: tuple[InstallBundle, ...] = ()) -> bytes:
    """Return a tar.gz with `provision.sh`, these files, and these install bundles.

    Raises:
        BundleError: an install bundle has gone.
    """
    try:
        large = {bundle.path.name: bundle.path.read_bytes() for bundle in installs}
        whole = {"provision.sh": SCRIPT.read_bytes(), **contents, **large}
    except OSError as error:
        raise BundleError(
            f"cannot read {error.filename}: {error.strerror}; build it again: make bundle"
        ) from error
    packed = io.BytesIO()
    # Wheels are compressed already; level 1 keeps a slow machine from waiting for nothing.
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w", format=tarfile.PAX_FORMAT) as file,
    ):
        for name in sorted(whole):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(whole[name]), SECRET if name in SECRETS else READABLE
            file.addfile(entry, io.BytesIO(whole[name]))
    return packed.getvalue()


def contents_digest(contents: dict[str, bytes]) -> str:
    """Return the SHA-256 of what a box is told, hexadecimal."""
    whole = hashlib.sha256()
    for name in sorted(contents):
        whole.update(f"{name}\0{len(contents[name])}\0".encode() + contents[name])
    return whole.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
