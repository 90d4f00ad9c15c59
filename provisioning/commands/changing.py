"""`plan` and `apply`: what would change, and doing it."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agent.host.lock import hold
from agent.wire.errors import ConfigError
from provisioning.commands.options import DEFAULT_DIST, DEFAULT_INVENTORY, AsJson, Dist, InventoryFile
from provisioning.fleet import Fleet, open_fleet
from provisioning.keeping import keepings

Revoke = Annotated[
    bool, typer.Option("--revoke", help="Withdraw the certificates of whoever left the inventory.")
]


def plan(
    inventory: InventoryFile = DEFAULT_INVENTORY,
    dist: Dist = DEFAULT_DIST,
    *,
    revoke: Revoke = False,
    as_json: AsJson = False,
) -> None:
    """Show what `apply` would do; changes nothing.

    Example: promptd-fleet plan
    """
    from provisioning import pages  # noqa: PLC0415 -- only these commands draw
    from provisioning.facts import look  # noqa: PLC0415 -- as above
    from provisioning.plan import plan as planned  # noqa: PLC0415 -- as above

    with open_fleet(inventory) as fleet:
        steps = planned(fleet.inventory, look(fleet, dist), revoke=revoke)
    if as_json:
        typer.echo(json.dumps([asdict(step) for step in steps], indent=2))
    else:
        pages.show_plan(steps)


def apply(
    inventory: InventoryFile = DEFAULT_INVENTORY,
    dist: Dist = DEFAULT_DIST,
    again: Annotated[
        list[str] | None, typer.Option("--again", help="A new certificate for this member, whatever it has.")
    ] = None,
    root_passphrase_file: Annotated[
        Path | None, typer.Option("--root-passphrase-file", help="For an authority that is made now.")
    ] = None,
    *,
    revoke: Revoke = False,
    wait: Annotated[
        bool, typer.Option(help="Wait until each device says on the broker that it is ready.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Do what `plan` shows. Interrupted, or after a failure, the next run does what is left.

    Example: promptd-fleet apply
    """
    from provisioning import pages  # noqa: PLC0415 -- as above
    from provisioning.apply import Applying  # noqa: PLC0415 -- as above
    from provisioning.authority import making  # noqa: PLC0415 -- as above
    from provisioning.authority.registrar import Registrar  # noqa: PLC0415 -- as above
    from provisioning.broker.bring import refuse_an_old_copy  # noqa: PLC0415 -- as above
    from provisioning.facts import look  # noqa: PLC0415 -- as above
    from provisioning.plan import SIGNED  # noqa: PLC0415 -- as above
    from provisioning.plan import plan as planned  # noqa: PLC0415 -- as above

    with open_fleet(inventory) as fleet, _alone(fleet):
        refuse_an_old_copy(fleet)
        if making.is_missing(fleet):
            typer.echo(making.make(fleet, root_passphrase_file), err=True)
        registrar = Registrar(fleet)
        registrar.learn_authorities()
        named = _named(fleet, again or [])
        facts = look(fleet, dist)
        steps = planned(fleet.inventory, facts, revoke=revoke, again=named)
        if sys.stdin.isatty() and any(step.kind in SIGNED for step in steps):
            registrar.open()  # the bars would hide the question for its passphrase
        with pages.bars(steps) as watch:
            outcome = Applying(fleet, registrar, facts, watch, waits=wait).run(steps)
    if as_json:
        failed = [{**asdict(each.step), "reason": each.reason} for each in outcome.failed]
        typer.echo(json.dumps({"done": [asdict(each) for each in outcome.done], "failed": failed}, indent=2))
    else:
        pages.show_outcome(outcome)
    raise typer.Exit(1 if outcome.failed else 0)


@contextmanager
def _alone(fleet: Fleet) -> Iterator[None]:
    """Keep a second `apply` away for as long as the block lasts.

    Raises:
        ConfigError: another one runs.
    """
    try:
        lock = hold(fleet.places.lock)
    except ConfigError as error:
        raise ConfigError(
            "another promptd-fleet apply works on this fleet; wait until it has ended"
        ) from error
    with lock:
        yield


def _named(fleet: Fleet, members: list[str]) -> frozenset[str]:
    """Forget what was brought to these members.

    Raises:
        ConfigError: the inventory does not name one of them, or somebody else sets it up.
    """
    known = {*fleet.inventory.devices, *(each.holder for each in keepings(fleet.inventory, fleet.places))}
    for name in members:
        if name not in known:
            raise ConfigError(f"the inventory has no {name!r}; name a device, a client, or claim-NAME")
        device = fleet.inventory.devices.get(name)
        if device and device.address and not fleet.inventory.ssh.installs:
            raise ConfigError(
                f"{name} is set up by others (ssh.installs is false) and enrols by itself; to let it do so "
                f"again: promptd-fleet readmit {name}"
            )
    for name in members:
        fleet.registry.unmark(name)
    return frozenset(members)
