"""Keys made on this machine: of the broker, the service, clients and claims. Devices make their own."""

from dataclasses import dataclass
from pathlib import Path

from agent.wire.access import FLEET_USER
from provisioning.inventory import BROKER_NAME, Inventory, claim_user
from provisioning.places import Places
from provisioning.roles import Role
from provisioning.written import NotWrittenError, write

AUTHORITIES = "ca.pem"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where key and certificate of one holder lie."""

    holder: str
    """Common name of the certificate; the MQTT user."""
    party: Role
    folder: Path
    certificate: str = "cert.pem"
    key: str = "key.pem"
    hosts: tuple[str, ...] = ()
    """What the certificate of a server is made for."""
    until_s: float = float("inf")
    """When nobody needs it any more, seconds since 1970: a claim is over one day."""

    def has(self, chain_pem: str) -> bool:
        """Tell whether this certificate lies here with its key: the key is always written first."""
        try:
            return (self.folder / self.certificate).read_text(encoding="utf-8") == chain_pem and (
                self.folder / self.key
            ).exists()
        except OSError:
            return False

    def write(self, key_pem: bytes, chain_pem: str, authorities_pem: str) -> None:
        """Write all three so that a power cut leaves no certificate beside the key of another.

        Raises:
            NotWrittenError: they cannot be written.
        """
        try:
            (self.folder / self.certificate).unlink(missing_ok=True)
        except OSError as error:
            raise NotWrittenError(f"{self.folder} cannot be changed ({error.strerror}); mend it") from error
        write(self.folder / self.key, key_pem)
        write(self.folder / AUTHORITIES, authorities_pem.encode())
        write(self.folder / self.certificate, chain_pem.encode())


def keepings(inventory: Inventory, places: Places) -> tuple[Keeping, ...]:
    """Return who has a key on this machine, in the order in which they are needed.

    A broker whose authority is another one has its certificate from there.
    """
    broker = inventory.broker
    own = Keeping(BROKER_NAME, Role.BROKER, places.broker, hosts=broker.every_name)
    claims = (
        Keeping(
            claim_user(name),
            Role.CLAIM,
            places.claim(name),
            "claim.pem",
            "claim.key",
            until_s=claim.expires_at.timestamp(),
        )
        for name, claim in inventory.claims.items()
    )
    clients = (Keeping(name, Role.CLIENT, places.client(name)) for name in inventory.clients)
    return (
        *(() if broker.ca_file else (own,)),
        Keeping(FLEET_USER, Role.FLEET, places.service),
        *claims,
        *clients,
    )
