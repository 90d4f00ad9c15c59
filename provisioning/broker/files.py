"""Everything that lies on the broker's machine: what is generated for its kind, and its certificate."""

from provisioning.broker import emqx, hivemq, mosquitto
from provisioning.broker.acl import rights_of
from provisioning.fleet import Fleet

CERTIFICATE_FILES = (mosquitto.CERTIFICATE, mosquitto.KEY, mosquitto.AUTHORITY, mosquitto.REVOCATIONS)


def broker_files(fleet: Fleet) -> dict[str, bytes]:
    """Return the files of the broker by name; of its certificate, what is there already."""
    folder = fleet.places.broker
    made = {name: folder / name for name in CERTIFICATE_FILES}
    there = {name: path.read_bytes() for name, path in made.items() if path.exists()}
    return {**there, **{name: text.encode() for name, text in generated(fleet).items()}}


def generated(fleet: Fleet) -> dict[str, str]:
    """Return the configuration and rules for the broker's kind."""
    broker, rights = fleet.inventory.broker, rights_of(fleet.inventory, fleet.registry)
    folder = broker.folder.rstrip("/") or str(fleet.places.broker)
    has_revocations = (fleet.places.broker / mosquitto.REVOCATIONS).exists()
    match broker.kind:
        case "mosquitto":
            return {
                mosquitto.CONFIGURATION: mosquitto.configuration(
                    broker, folder, has_revocations=has_revocations
                ),
                mosquitto.ACL: mosquitto.acl(rights),
            }
        case "emqx":
            return {
                emqx.CONFIGURATION: emqx.configuration(broker, folder),
                emqx.ACL: emqx.acl(rights),
            }
        case "hivemq":
            return {hivemq.CREDENTIALS: hivemq.credentials(rights)}
