"""Has certificates signed and notes every one: in the audit log, in the registry, and only then on the disk.

A process that ends in between leaves a certificate that nobody has; the next `apply` has another one signed.
"""

import datetime as dt
import math
import threading
import time
from collections.abc import Iterator

from cryptography import x509

from agent.wire.certificates import CertificateReply, Verdict
from agent.wire.errors import ConfigError
from provisioning.authority import keys
from provisioning.authority.errors import RequestRefusedError
from provisioning.authority.opening import open_signer
from provisioning.authority.signer import Issued, Revoked, Signer, Subject, common_name, key_digest
from provisioning.broker.mosquitto import REVOCATIONS as REVOCATIONS_FILE
from provisioning.device_settings import settings_of, toml
from provisioning.facts import BROKER, REVOCATIONS, revocations_digest, trusted
from provisioning.fleet import Fleet
from provisioning.keeping import Keeping
from provisioning.registry import RegistryError
from provisioning.registry_rows import INVENTORY, Certificate, Device
from provisioning.roles import Role
from provisioning.written import write

DAY_S = 86_400
LIST_DAYS = 30
"""Life of a revocation list. `apply` and the provisioning service write it anew every week."""


class Registrar:
    """The authority of one fleet, with its books. It is opened when it first has to sign."""

    def __init__(self, fleet: Fleet, signer: Signer | None = None) -> None:
        self._fleet, self._signer = fleet, signer
        self._opening = threading.Lock()

    def open(self) -> None:
        """Open the authority now: who is asked for its passphrase later may not see the question.

        Raises:
            AuthorityError: it cannot be opened.
        """
        self._open()

    def learn_authorities(self) -> None:
        """Note whom the fleet trusts, if that was never learnt, for whoever does not open the authority.

        Raises:
            AuthorityError: the authority cannot be opened, or does not tell.
            NotWrittenError: the disk does not take it.
        """
        file = self._fleet.places.authorities
        if not file.exists():
            write(file, self._open().authorities.encode())

    def equip(self, keeping: Keeping) -> None:
        """Make a key on this machine, have it signed, and write both.

        Raises:
            AuthorityError: the authority cannot sign.
            NotWrittenError: the files cannot be written.
        """
        subject = Subject(keeping.holder, keeping.party, keeping.hosts)
        days = min(self._fleet.inventory.authority.days, (keeping.until_s - time.time()) / DAY_S)
        made = keys.make(self._open(), subject, days)
        self._note(made.issued, keeping.holder, keeping.party)
        keeping.write(made.key_pem.encode(), made.issued.chain_pem, self._open().authorities)

    def certify(self, device: str, request_pem: str, group: str = "") -> CertificateReply:
        """Have the request of a device signed, and return what the device accepts.

        Raises:
            RequestRefusedError: it is no request, or is made for another name.
            AuthorityError: the authority cannot sign.
        """
        try:
            request = x509.load_pem_x509_csr(request_pem.encode())
        except ValueError as error:
            raise RequestRefusedError(
                f"this is no request (PKCS #10, PEM); on the box: promptd identity request --name {device}"
            ) from error
        if (named := common_name(request)) not in ("", device):
            raise RequestRefusedError(
                f"the request is made for {named!r}, not for {device}; make another one"
            )
        issued = self._open().sign(
            request, Subject(device, Role.DEVICE), self._fleet.inventory.authority.days
        )
        self._note(issued, device, Role.DEVICE)
        return CertificateReply(
            accepted=True,
            verdicts=(Verdict(step="signing", passed=True),),
            certificate=issued.chain_pem,
            authorities=trusted(self._fleet, self._open().authorities),
            settings=toml(settings_of(self._fleet.inventory, device, group)),
        )

    def enlist(self, device: str, planned_s: float = math.inf) -> None:
        """Take a device of the inventory into the registry, or note that its group or serial changed.

        Raises:
            RegistryError: its serial, or its name, belongs to another box; or it left after `planned_s`.
        """
        registry, entry = self._fleet.registry, self._fleet.inventory.devices[device]
        with registry.changing():
            known = registry.device(device)
            if known and known.removed_s is not None and known.removed_s > planned_s:
                raise RegistryError(revoked_meanwhile(device))
            is_member = known is not None and known.removed_s is None
            origin = known.origin if known and is_member else INVENTORY
            since_s = known.registered_s if known and is_member else time.time()
            registry.add_device(Device(device, entry.serial, entry.group, origin, since_s))

    def revoke(self, holder: str, reason: str) -> tuple[Certificate, ...]:
        """Withdraw all certificates of a member and return them; a device leaves the registry too.

        Raises:
            ConfigError: nobody of this name ever had a certificate or was registered.
        """
        registry = self._fleet.registry
        if not registry.certificates(holder) and registry.device(holder) is None:
            raise ConfigError(f"nobody is called {holder!r}; promptd-fleet devices shows who is registered")
        self._fleet.audit.add("revoke", holder, reason=reason)
        with registry.changing():
            if registry.device(holder):
                registry.remove_device(holder)
            return registry.revoke(holder, reason)

    def write_revocations(self) -> None:
        """Write the list of all that was revoked for the broker; an authority elsewhere keeps its own.

        Raises:
            AuthorityError: the authority cannot be opened.
        """
        if not revocations_digest(self._fleet):
            return
        signer = self._open()  # a person may have to type the passphrase: not while others wait
        with self._fleet.hold_broker():
            digest = revocations_digest(self._fleet)
            listed = signer.revocation_list(self._revoked(), LIST_DAYS)
            write(self._fleet.places.broker / REVOCATIONS_FILE, listed.encode())
            self._fleet.registry.mark(BROKER, REVOCATIONS, digest)

    def _revoked(self) -> Iterator[Revoked]:
        for each in self._fleet.registry.revoked():
            yield Revoked(int(each.number, 16), dt.datetime.fromtimestamp(each.revoked_s or 0, dt.UTC))

    def _open(self) -> Signer:
        with self._opening:
            if self._signer is None:
                self._signer = open_signer(self._fleet.inventory.authority, self._fleet.places.authority)
            return self._signer

    def _note(self, issued: Issued, holder: str, party: Role) -> None:
        row = certificate_row(issued, holder, party)
        self._fleet.audit.add("sign", holder, number=row.number, party=str(party))
        self._fleet.registry.add_certificate(row)


def revoked_meanwhile(device: str) -> str:
    """Return what is said of a device that somebody revokes while another one sets it up."""
    return f"{device} was revoked meanwhile; promptd-fleet apply --again {device} lets it in"


def certificate_row(issued: Issued, holder: str, party: Role) -> Certificate:
    """Return what the registry keeps of a certificate."""
    return Certificate(
        number=f"{issued.serial_number:x}",
        holder=holder,
        party=party,
        not_before_s=issued.not_before.timestamp(),
        not_after_s=issued.not_after.timestamp(),
        key_digest=key_digest(issued.certificate.public_key()),
        pem=issued.chain_pem,
        issued_s=time.time(),
    )
