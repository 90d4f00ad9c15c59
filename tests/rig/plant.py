"""A fleet with nothing but its beginnings: authority, broker with the generated rules, claim, service."""

import ssl
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from agent.wire.access import FLEET_USER
from provisioning.audit import Audit
from provisioning.authority import keys
from provisioning.authority.opening import open_signer
from provisioning.authority.registrar import Registrar
from provisioning.authority.root import make_issuing, make_root
from provisioning.authority.signer import Signer, Subject
from provisioning.broker.bring import bring_to_broker
from provisioning.claims import new_tokens
from provisioning.enrolment.desk import Desk
from provisioning.fleet import Fleet
from provisioning.inventory_file import read_inventory
from provisioning.places import Places
from provisioning.registry import Registry
from provisioning.roles import Role
from rig.mosquitto import free_port
from rig.process import Child

CLAIM = "line-7"
CLAIM_USER = f"claim-{CLAIM}"
AUDITOR = "auditor"
"""Hears everything; no such member stands in an inventory."""
PASSPHRASE = b"a passphrase of a test"
INVENTORY = """\
broker:
  url: mqtts://127.0.0.1:{port}
  state_dir: {folder}
  folder: {folder}/at-broker
  reload: {reload}
  owner: root
authority: {{{authority}, days: {days}}}
settings:
  engine: {{require: echo, slots: 1}}
  telemetry: {{interval_s: 0.2}}
  logs: {{format: json}}
devices:
{devices}
claims:
  {claim}: {{expires: {expires}, limit: {limit}, needs: {needs}, name: 'box-{{serial}}'}}
clients:
  tester: {{all: true}}
"""


class Plant:
    """One fleet in one folder. `devices` maps names to serials; what else differs is said by keyword."""

    def __init__(self, folder: Path, stack: ExitStack, **wishes: object) -> None:
        self.folder, self._stack = folder, stack
        self.port = free_port()
        self._wishes = {
            "needs": "token",
            "limit": 1000,
            "expires": "2099-01-31",
            "authority": "kind: own, passphrase_file: passphrase",
            "days": 1,
            "reload": "'true'",
            "devices": {},
            **wishes,
        }
        self.places = Places(folder / "fleet.yaml")
        self.places.make()
        self._make_authority()
        self.change()
        self.registry = Registry(self.places.registry)
        stack.callback(self.registry.close)
        self.audit = Audit(self.places.audit, "test")
        self.signer = open_signer(self.fleet.inventory.authority, self.places.authority)
        self.issue(self.places.broker, Subject("127.0.0.1", Role.BROKER, ("127.0.0.1",)))
        self.issue(self.places.service, Subject(FLEET_USER, Role.FLEET))
        self.issue(self.places.client("tester"), Subject("tester", Role.CLIENT))
        self.claim = self.issue(self.places.claim(CLAIM), Subject(CLAIM_USER, Role.CLAIM))
        self.broker: Child

    @property
    def fleet(self) -> Fleet:
        """The fleet as it is written down now."""
        return Fleet(read_inventory(self.places.inventory), self.places, self.registry, self.audit)

    @property
    def url(self) -> str:
        return f"mqtts://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self.places.broker / "ca.pem"

    def change(self, **wishes: object) -> None:
        """Write the inventory, with these differences to before."""
        self._wishes |= wishes
        devices = self._wishes["devices"]
        assert isinstance(devices, Mapping)
        rows = "\n".join(f"  {name}: {{serial: '{serial}'}}" for name, serial in devices.items()) or "  {}"
        values = {**self._wishes, "devices": rows}
        text = INVENTORY.format(port=self.port, folder=self.folder, claim=CLAIM, **values)
        self.places.inventory.write_text(text)

    def tokens(self, count: int) -> list[str]:
        return new_tokens(self.fleet, CLAIM, count)

    def signing_program(self, first: str) -> str:
        """Return an authority that is a program: it does what is wanted first, then signs as our own does."""
        program, own = self.folder / "sign", self.places.authority
        program.write_text(
            f"#!/bin/sh\ncd {self.folder}\n{first}\n"
            f'openssl x509 -req -days 1 -subj "/CN=$1" -passin file:{own}/passphrase '
            f"-CA {own}/issuing.pem -CAkey {own}/issuing.key && cat {own}/issuing.pem\n"
        )
        program.chmod(0o755)
        return f"kind: command, command: [{program}, '{{name}}'], authorities_file: root.pem"

    def tls(self, folder: Path, name: str = "cert.pem", key: str = "key.pem") -> ssl.SSLContext:
        """Return how somebody connects whose certificate lies in this folder."""
        context = ssl.create_default_context(cafile=self.ca_file)
        context.load_cert_chain(folder / name, folder / key)
        return context

    def desk(self, registry: Registry | None = None, signer: Signer | None = None) -> Desk:
        """Return what judges here, with parts of its own where a test wants them to fail."""
        return Desk(
            lambda: self.fleet.inventory, registry or self.registry, signer or self.signer, self.audit
        )

    def start_broker(self, *, reloads: bool = False) -> None:
        """Start it; unless it reloads its rules, the auditor hears everything."""
        Registrar(self.fleet, self.signer).write_revocations()
        bring_to_broker(self.fleet)
        folder = self.folder / "at-broker"
        with (folder / "acl").open("a") as acl:
            acl.write(f"\nuser {AUDITOR}\ntopic read #\n")
        # Started as root, mosquitto would become another user, who cannot read a test's folder.
        with (folder / "mosquitto.conf").open("a") as configuration:
            configuration.write(f"user root\nlog_type all\npid_file {self.folder}/pid\n")
        self.broker = Child(["/usr/sbin/mosquitto", "-c", str(folder / "mosquitto.conf")])
        self._stack.callback(self.broker.end)
        self.broker.wait_for_line(lambda line: line.endswith(" running"))
        if reloads:
            self.change(reload=f"kill -HUP $(cat {self.folder}/pid)")

    def rules(self) -> str:
        """Return the rules that the broker has."""
        return (self.folder / "at-broker" / "acl").read_text()

    def start_service(self, extra: Mapping[str, str] | None = None) -> Child:
        """Start the provisioning service, and wait until it hears requests."""
        command = [
            sys.executable,
            "-m",
            "provisioning.cli",
            "serve",
            "--inventory",
            str(self.places.inventory),
        ]
        child = Child(command, extra)
        self._stack.callback(child.end)
        child.wait_for_line(lambda line: "broker_connected" in line)
        return child

    def issue(self, folder: Path, subject: Subject, days: float = 1) -> Path:
        """Write key, certificate and authorities of a member into a folder."""
        made = keys.make(self.signer, subject, days)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "key.pem").write_text(made.key_pem)
        (folder / "cert.pem").write_text(made.issued.chain_pem)
        (folder / "ca.pem").write_text(self.signer.authorities)
        return folder

    def _make_authority(self) -> None:
        folder = self.places.authority
        folder.mkdir()
        (folder / "passphrase").write_bytes(PASSPHRASE)
        make_root(folder, "Test root", PASSPHRASE)
        make_issuing(folder, "Test issuing", lambda: PASSPHRASE, PASSPHRASE)
