"""Brings the broker its files, and has it read them: on this machine, or by SSH.

Each time has a number, which stays there beside the files: an old copy of a fleet, or a registry from a
backup, has a lower one, and would take back what was revoked since.
"""

import io
import shlex
import tarfile

from provisioning.broker.files import broker_files, generated
from provisioning.bundle import contents_digest
from provisioning.facts import BROKER, BROUGHT
from provisioning.fleet import Fleet
from provisioning.inventory import Inventory
from provisioning.reach import Reach, ReachError
from provisioning.registry import Registry
from provisioning.written import write

GENERATION = "generation"
OTHERS = (
    "the broker has newer files: another copy of this fleet has written them, or this registry is from a "
    "backup. Work with the newer one; or revoke again what was revoked since, and remove {file} there"
)
SHORT = "the broker's machine cannot take the files, and keeps those that it has; is its disk full?"
BRING = """\
set -eu
mkdir -p {folder}
there=$(cat {folder}/generation 2> /dev/null) || there=0
case $there in '' | *[!0-9]*) there=0 ;; esac
if [ "$there" -ge {generation} ]; then
    echo {others} >&2
    exit 1
fi
new={folder}/.new
rm -rf "$new"
mkdir -p -m 0700 "$new"
if ! tar -xf - -C "$new"; then
    rm -rf "$new"
    echo {short} >&2
    exit 1
fi
chmod 0750 {folder}
if id {owner} > /dev/null 2>&1; then chown -R {owner} {folder}; fi
sync
mv "$new"/generation {folder}/.generation
mv "$new"/* {folder}/
mv {folder}/.generation {folder}/generation
rmdir "$new"
"""


def bring_to_broker(fleet: Fleet) -> None:
    """Write the generated files, copy all to the broker's folder if it has one, and have it read them.

    Raises:
        ReachError: its machine is away, or its reload failed.
        NotWrittenError: the files cannot be written here.
    """
    with fleet.hold_broker():
        for name, text in generated(fleet).items():
            write(fleet.places.broker / name, text.encode())
        files = broker_files(fleet)
        if fleet.inventory.broker.folder:
            _copy(fleet.inventory, files, _next_generation(fleet.registry))
        fleet.registry.mark(BROKER, BROUGHT, contents_digest(files))


def refuse_an_old_copy(fleet: Fleet) -> None:
    """See at the broker that no other copy of this fleet went on: what we sign, that one cannot revoke.

    A broker that is away tells nothing; what has to be brought there fails by itself.

    Raises:
        ReachError: another copy has brought the broker newer files.
    """
    broker = fleet.inventory.broker
    if not broker.folder:
        return
    file = f"{broker.folder}/{GENERATION}"
    try:
        there = Reach(fleet.inventory.ssh, broker.address).run(f"cat {shlex.quote(file)}").decode().strip()
    except ReachError:
        return
    if there.isdecimal() and int(there) > int(fleet.registry.marked(BROKER, GENERATION) or 0):
        raise ReachError(OTHERS.format(file=file))


def _next_generation(registry: Registry) -> int:
    """Count before the files are sent: whatever becomes of that, the next number is a higher one."""
    generation = int(registry.marked(BROKER, GENERATION) or 0) + 1
    registry.mark(BROKER, GENERATION, str(generation))
    return generation


def _copy(inventory: Inventory, files: dict[str, bytes], generation: int) -> None:
    broker = inventory.broker
    machine = Reach(inventory.ssh, broker.address)
    script = BRING.format(
        folder=shlex.quote(broker.folder),
        owner=shlex.quote(broker.owner),
        generation=generation,
        short=shlex.quote(SHORT),
        others=shlex.quote(OTHERS.format(file=f"{broker.folder}/{GENERATION}")),
    )
    machine.run(script, _packed({**files, GENERATION: str(generation).encode()}))
    machine.run(broker.reload or "true")


def _packed(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600
            file.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
