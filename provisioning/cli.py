"""The commands of the fleet's operator. Each does its work elsewhere and turns errors into a sentence."""

import json
import sys
from dataclasses import asdict

import typer

from agent import __version__
from agent.wire.errors import AgentError, ConfigError
from provisioning.commands.options import DEFAULT_INVENTORY, AsJson, InventoryFile

app = typer.Typer(
    help="A fleet of promptd boxes: inventory, certificates, broker rules, enrolment.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
def init(inventory: InventoryFile = DEFAULT_INVENTORY) -> None:
    """Write an example inventory with comments, to begin with.

    Example: promptd-fleet init
    """
    from provisioning.example import EXAMPLE
    from provisioning.written import write

    if inventory.exists():
        raise ConfigError(f"{inventory} is there already; it is not written over")
    write(inventory.absolute(), EXAMPLE.encode(), 0o644)
    typer.echo(f"{inventory} is written: mend it, then promptd-fleet check, plan and apply")


@app.command()
def check(inventory: InventoryFile = DEFAULT_INVENTORY, *, as_json: AsJson = False) -> None:
    """Check the inventory and name every mistake by its line.

    Example: promptd-fleet check
    """
    from provisioning.inventory_file import InventoryError, read_inventory

    try:
        found = read_inventory(inventory)
    except InventoryError as error:
        if not as_json:
            raise
        typer.echo(json.dumps([asdict(line) for line in error.lines], indent=2))
        raise typer.Exit(error.exit_code) from error
    found_of = {"device": len(found.devices), "claim": len(found.claims), "client": len(found.clients)}
    counts = (f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in found_of.items())
    words = f"{', '.join(counts)}: all is well"
    typer.echo("[]" if as_json else words)


@app.command()
def version() -> None:
    """Print the version.

    Example: promptd-fleet version
    """
    typer.echo(__version__)


def _add_commands() -> None:
    """Put the commands together here, so that a missing package ends as a sentence too."""
    from provisioning.commands import audit, authority, boxes, changing, enrolment

    app.add_typer(authority.app)
    app.add_typer(audit.app)
    for command in (
        changing.plan,
        changing.apply,
        boxes.devices,
        boxes.bundle,
        boxes.sign,
        boxes.token,
        boxes.revoke,
        boxes.ansible,
        enrolment.serve,
        enrolment.readmit,
    ):
        app.command()(command)


def main() -> None:
    """Run the command line; every foreseen error ends as one sentence."""
    try:
        _add_commands()
        app()
    except AgentError as error:
        typer.echo(f"promptd-fleet: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
