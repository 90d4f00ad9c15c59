"""`promptd-fleet audit`: read the log of what was done, and prove that nobody changed it."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from provisioning.audit import Audit
from provisioning.commands.options import DEFAULT_INVENTORY, AsJson, InventoryFile
from provisioning.places import places_of

app = typer.Typer(name="audit", help="What was done to the fleet, by whom.", no_args_is_help=True)


@app.command()
def show(
    subject: Annotated[str, typer.Argument(help="Only this device, client or claim; all by default.")] = "",
    inventory: InventoryFile = DEFAULT_INVENTORY,
    *,
    as_json: AsJson = False,
) -> None:
    """Show what was done, the oldest first.

    Example: promptd-fleet audit show box-3
    """
    entries = [each for each in _audit(inventory).entries() if subject in ("", each.subject)]
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in entries], indent=2))
        return
    for each in entries:
        details = "  ".join(f"{key}={value}" for key, value in each.details.items())
        typer.echo(
            f"{each.time}  {each.actor:<10} {each.action:<12} {each.subject:<20} {each.verdict:<8} {details}"
        )


@app.command()
def verify(inventory: InventoryFile = DEFAULT_INVENTORY, *, as_json: AsJson = False) -> None:
    """Prove that no line was changed, taken out or put in; keep the digest it prints somewhere else.

    Example: promptd-fleet audit verify
    """
    found = _audit(inventory).verify()
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    elif found.fault:
        typer.echo(f"promptd-fleet: the audit log is broken: {found.fault}", err=True)
    elif not found.entries:
        typer.echo("nothing was done to this fleet yet: the audit log is empty")
    else:
        typer.echo(f"{found.entries} entries, none changed; the last one is {found.head}")
    raise typer.Exit(1 if found.fault else 0)


def _audit(inventory: InventoryFile) -> Audit:
    return Audit(places_of(inventory).audit)
