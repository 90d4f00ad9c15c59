"""`promptd-fleet authority`: the authority of a fleet that has no other one."""

from pathlib import Path
from typing import Annotated

import typer

from provisioning.commands.options import DEFAULT_INVENTORY, InventoryFile
from provisioning.fleet import open_fleet

app = typer.Typer(
    name="authority", help="The authority that signs (kind `own`), made once.", no_args_is_help=True
)

RootPassphrase = Annotated[
    Path | None,
    typer.Option("--root-passphrase-file", help="Of the root's key; a person is asked otherwise."),
]


@app.command()
def create(inventory: InventoryFile = DEFAULT_INVENTORY, root_passphrase_file: RootPassphrase = None) -> None:
    """Make the root and the issuing authority; then carry `root.key` away from this machine.

    Example: promptd-fleet authority create
    """
    from provisioning.authority import making  # noqa: PLC0415 -- only these commands need the library

    with open_fleet(inventory) as fleet:
        typer.echo(making.make(fleet, root_passphrase_file))


@app.command()
def renew(inventory: InventoryFile = DEFAULT_INVENTORY, root_passphrase_file: RootPassphrase = None) -> None:
    """Make the next issuing authority with the root's key, which must be back in its place for it.

    Example: promptd-fleet authority renew
    """
    from provisioning.authority import making  # noqa: PLC0415 -- as above

    with open_fleet(inventory) as fleet:
        typer.echo(making.renew(fleet, root_passphrase_file))


@app.command()
def show(inventory: InventoryFile = DEFAULT_INVENTORY) -> None:
    """Print whom devices trust, PEM.

    Example: promptd-fleet authority show | openssl x509 -noout -text
    """
    from provisioning.authority.registrar import Registrar  # noqa: PLC0415 -- as above
    from provisioning.facts import known_authorities  # noqa: PLC0415 -- as above

    with open_fleet(inventory) as fleet:
        Registrar(fleet).learn_authorities()
        typer.echo(known_authorities(fleet), nl=False)
