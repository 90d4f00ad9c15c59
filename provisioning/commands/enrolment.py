"""`serve` and `readmit`: boxes that enrol themselves."""

from typing import Annotated

import typer

from agent.wire.errors import ConfigError
from provisioning.authority.errors import AuthorityError
from provisioning.commands.options import DEFAULT_INVENTORY, InventoryFile
from provisioning.fleet import open_fleet


def serve(inventory: InventoryFile = DEFAULT_INVENTORY) -> None:
    """Run the provisioning service: it judges what boxes ask for, and hands out certificates and settings.

    Example: promptd-fleet serve --inventory /var/lib/promptd-fleet/fleet.yaml
    """
    from agent.host import logs  # noqa: PLC0415 -- only this command needs MQTT and the authority
    from agent.settings import LogSettings  # noqa: PLC0415 -- as above
    from provisioning.authority.opening import open_signer  # noqa: PLC0415 -- as above
    from provisioning.enrolment.serve import service_of  # noqa: PLC0415 -- as above

    logs.configure(LogSettings())
    with open_fleet(inventory, actor="promptd-fleet") as fleet:
        try:
            signer = open_signer(fleet.inventory.authority, fleet.places.authority)
        except AuthorityError as error:  # which the next start would not mend
            raise ConfigError(str(error)) from error
        code = service_of(fleet, signer).run()
    raise typer.Exit(code)


def readmit(
    device: Annotated[str, typer.Argument(help="The device whose box lost its key, or was revoked.")],
    inventory: InventoryFile = DEFAULT_INVENTORY,
) -> None:
    """Revoke what a device has, tell the broker, and let its box enrol once more without proof.

    Example: promptd-fleet readmit box-17
    """
    from provisioning.authority.registrar import Registrar  # noqa: PLC0415 -- as above
    from provisioning.broker.cut_off import cut_off  # noqa: PLC0415 -- as above
    from provisioning.enrolment.readmission import readmit as let_in  # noqa: PLC0415 -- as above

    with open_fleet(inventory) as fleet:
        revoked = let_in(fleet.registry, fleet.audit, device)
        if revoked:
            cut_off(fleet, Registrar(fleet))
    typer.echo(f"{device} may enrol again" + ("; what it had is revoked now" if revoked else ""))
