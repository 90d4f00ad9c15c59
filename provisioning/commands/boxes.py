"""Commands about single boxes and batches: bundle, sign, token, devices, revoke."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.wire.errors import ConfigError
from provisioning.commands.options import DEFAULT_DIST, DEFAULT_INVENTORY, AsJson, Dist, InventoryFile
from provisioning.fleet import Fleet, open_fleet

DeviceName = Annotated[str, typer.Argument(help="A device of the inventory.")]


def bundle(
    device: DeviceName,
    to: Annotated[Path | None, typer.Option("--to", help="The file to write; default DEVICE.tar.gz.")] = None,
    inventory: InventoryFile = DEFAULT_INVENTORY,
    dist: Dist = DEFAULT_DIST,
) -> None:
    """Write everything that one box needs into one file, promptd included, to carry it there.

    On the box, as root: unpack it and run `sh provision.sh`.

    Example: promptd-fleet bundle box-3 --to /media/usb/box-3.tar.gz
    """
    from provisioning.claims import write_bundle  # noqa: PLC0415 -- only this command needs it
    from provisioning.facts import look  # noqa: PLC0415 -- as above

    with open_fleet(inventory) as fleet:
        _known(fleet, device)
        file = to or Path(f"{device}.tar.gz")
        facts = look(fleet, dist)
        write_bundle(fleet, facts, device, file, facts.installs)
    typer.echo(str(file))


def sign(
    device: DeviceName,
    request: Annotated[
        Path, typer.Argument(help="What `promptd identity request` printed; '-' reads it here.")
    ],
    inventory: InventoryFile = DEFAULT_INVENTORY,
) -> None:
    """Have the request of a box signed and print the reply, which `promptd identity accept` takes there.

    Example: promptd-fleet sign box-3 box-3.csr > reply.json
    """
    from provisioning.authority.registrar import Registrar  # noqa: PLC0415 -- as above
    from provisioning.broker.bring import refuse_an_old_copy  # noqa: PLC0415 -- as above

    text = sys.stdin.read() if str(request) == "-" else _text(request)
    with open_fleet(inventory) as fleet:
        _known(fleet, device)
        refuse_an_old_copy(fleet)
        registrar = Registrar(fleet)
        registrar.enlist(device)
        typer.echo(registrar.certify(device, text).model_dump_json())


def token(
    claim: Annotated[str, typer.Argument(help="A claim of the inventory.")],
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many boxes.")] = 1,
    inventory: InventoryFile = DEFAULT_INVENTORY,
    *,
    as_json: AsJson = False,
) -> None:
    """Make one-time tokens, one for each box of a batch; they are shown once and kept nowhere.

    Example: promptd-fleet token line-7 --count 50 > tokens.txt
    """
    from provisioning.claims import new_tokens  # noqa: PLC0415 -- as above

    with open_fleet(inventory) as fleet:
        made = new_tokens(fleet, claim, count)
    typer.echo(json.dumps(made) if as_json else "\n".join(made))


def devices(inventory: InventoryFile = DEFAULT_INVENTORY, *, as_json: AsJson = False) -> None:
    """Show who is registered, and how long its certificate is good.

    Example: promptd-fleet devices --json
    """
    from provisioning import pages  # noqa: PLC0415 -- as above
    from provisioning.facts import look  # noqa: PLC0415 -- as above

    with open_fleet(inventory) as fleet:
        rows = pages.device_rows(look(fleet, DEFAULT_DIST))
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        pages.show_devices(rows)


def revoke(
    holder: Annotated[str, typer.Argument(help="A device, a client, or claim-NAME.")],
    reason: Annotated[str, typer.Option(help="For the log and for whoever looks later.")] = "",
    inventory: InventoryFile = DEFAULT_INVENTORY,
) -> None:
    """Withdraw every certificate of a member, take a device out of the registry, and tell the broker.

    Example: promptd-fleet revoke box-3 --reason stolen
    """
    from provisioning.authority.registrar import Registrar  # noqa: PLC0415 -- as above
    from provisioning.broker.cut_off import cut_off  # noqa: PLC0415 -- as above

    with open_fleet(inventory) as fleet:
        registrar = Registrar(fleet)
        revoked = registrar.revoke(holder, reason)
        cut_off(fleet, registrar)
    count = f"{len(revoked)} certificate{'' if len(revoked) == 1 else 's'}"
    typer.echo(f"{holder}: {count} revoked, and the broker knows")


def ansible(inventory: InventoryFile = DEFAULT_INVENTORY) -> None:
    """Print an inventory for Ansible, made from ours.

    Example: promptd-fleet ansible > hosts.json && ansible-playbook -i hosts.json site.yml
    """
    from provisioning.ansible_hosts import hosts  # noqa: PLC0415 -- as above

    with open_fleet(inventory) as fleet:
        typer.echo(json.dumps(hosts(fleet), indent=2))


def _known(fleet: Fleet, device: str) -> None:
    if device not in fleet.inventory.devices:
        raise ConfigError(f"the inventory has no device {device!r}; write it under devices")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path} as text: {error}") from error
