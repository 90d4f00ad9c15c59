"""An authority of our own for one test run: root, issuing key, and the members it has signed."""

import ssl
from pathlib import Path

from cryptography import x509

from agent.identity import pem
from agent.identity.pair import Pair, Pairs
from agent.identity.request import Pending
from agent.wire.access import FLEET_USER
from provisioning.authority.keys import make
from provisioning.authority.opening import open_signer
from provisioning.authority.root import make_issuing, make_root
from provisioning.authority.settings import AuthoritySettings
from provisioning.authority.signer import Issued, Subject
from provisioning.roles import Role

PASSPHRASE = b"correct horse"
LOOPBACK = ("127.0.0.1", "localhost")


class Authority:
    """Made once for a folder; a broker and the provisioning service have their certificates."""

    def __init__(self, folder: Path, backdate_s: float = 3600) -> None:
        self.folder = folder
        make_root(folder, "test root", PASSPHRASE)
        make_issuing(folder, "test issuing", lambda: PASSPHRASE, PASSPHRASE)
        (folder / "passphrase").write_bytes(PASSPHRASE + b"\n")
        settings = AuthoritySettings(passphrase_file=Path("passphrase"), backdate_s=backdate_s)
        self.signer = open_signer(settings, folder)
        self.member("broker", Role.BROKER, LOOPBACK)
        self.member(FLEET_USER, Role.FLEET)

    def path(self, name: str) -> Path:
        return self.folder / name

    def member(self, name: str, role: Role, names: tuple[str, ...] = (), days: float = 30) -> Issued:
        """Make `NAME.pem` with the chain, and `NAME.key`."""
        made = make(self.signer, Subject(name, role, names), days)
        self.path(f"{name}.pem").write_text(made.issued.chain_pem)
        self.path(f"{name}.key").write_text(made.key_pem)
        return made.issued

    def sign(self, request_pem: str, name: str, days: float = 30) -> Issued:
        """Sign the request of a device."""
        request = x509.load_pem_x509_csr(request_pem.encode())
        return self.signer.sign(request, Subject(name, Role.DEVICE), days)

    def enrol(self, folder: Path, name: str, days: float = 30) -> Pair:
        """Give the identity in this folder its first pair, in use."""
        pairs, pending = Pairs(folder), Pending(folder, name)
        issued = self.sign(pending.pem(), name, days)
        pair = pending.receive(pairs, issued.chain_pem, self.signer.authorities)
        pairs.promote(pair)
        pending.forget()
        return pair

    def parts(self, name: str, days: float = 30) -> tuple[bytes, bytes, bytes]:
        """Return key, chain and authorities of a device, PEM."""
        key = pem.new_key()
        issued = self.sign(pem.new_request(key, name).decode(), name, days)
        return key, issued.chain_pem.encode(), self.signer.authorities.encode()

    def broker_lines(self) -> tuple[str, ...]:
        """Return what mosquitto needs to take its users from certificates."""
        return (
            f"cafile {self.path('root.pem')}",
            f"certfile {self.path('broker.pem')}",
            f"keyfile {self.path('broker.key')}",
            "require_certificate true",
            "use_identity_as_username true",
        )

    def context(self, name: str) -> ssl.SSLContext:
        """Return how a member connects."""
        context = ssl.create_default_context(cafile=self.path("root.pem"))
        context.load_cert_chain(self.path(f"{name}.pem"), self.path(f"{name}.key"))
        return context
