"""The options that several commands have, each said once."""

from pathlib import Path
from typing import Annotated

import typer

from provisioning.places import DEFAULT_INVENTORY

InventoryFile = Annotated[Path, typer.Option("--inventory", "-i", help="The inventory.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Dist = Annotated[Path, typer.Option("--dist", help="Where `make bundle` has put the install bundles.")]
DEFAULT_DIST = Path("dist")

__all__ = ["DEFAULT_DIST", "DEFAULT_INVENTORY", "AsJson", "Dist", "InventoryFile"]
