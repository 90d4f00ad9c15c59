"""The operator's side as docs/fleet.md builds it: one machine for promptd-fleet, one for the broker."""

import json
import shutil
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rig.requester import Requester, requester_on

from system.boxes import Boxes
from system.bundle import Bundle
from system.device import CLIENT
from system.service import Service
from system.ssh import let_in, make_key

CLAIM = "line-7"
PORT = 8883
DAYS = 0.2
"""Life of a certificate, which begins an hour before it is made: a sixth of it is over at once."""
APPLY_S = 900.0
HOME = "/var/lib/promptd-fleet"
USER = "promptd-fleet"
COMMAND = "/usr/local/bin/promptd-fleet"
SECRET = "a passphrase of a test\n"  # noqa: S105 -- of a test
CREDENTIAL = "/etc/credstore/authority-passphrase"
ROOT_SECRET = f"{HOME}/root-passphrase"

INVENTORY = """\
broker:
  url: mqtts://{broker}:{port}
  address: root@{broker}
  folder: /etc/mosquitto/promptd
authority: {{kind: own, days: {days}}}
ssh: {{installs: {installs}, options: [BatchMode=yes, StrictHostKeyChecking=accept-new]}}
settings:
  telemetry: {{interval_s: 1}}
devices:
{devices}
claims:
  {claim}: {{expires: 2099-01-31, limit: 20, needs: both}}
clients:
  {client}: {{all: true}}
"""

ON_THE_BOX = """\
[broker]
url = "mqtts://{broker}:{port}"
ca_file = "/etc/promptd/ca.pem"
"""

TELLING = "[Service]\nExecStart=\nExecStart=/usr/sbin/mosquitto -v -c /etc/mosquitto/mosquitto.conf\n"
"""Only then mosquitto tells whom it has denied what."""


class Headquarters:
    """Both machines, running: the bundle installed on the one, an empty mosquitto and sshd on the other."""

    def __init__(self, boxes: Boxes, bundle: Bundle, folder: Path) -> None:
        folder.mkdir()
        self.public_key = make_key(folder)
        self.key = folder / "id"
        """Opens every machine that let the public one in."""
        self.broker = let_in(boxes.make("broker"), self.public_key)
        self.broker.path("/etc/mosquitto/mosquitto.conf").unlink()
        self.broker.path("/etc/mosquitto/mosquitto.conf").symlink_to("promptd/mosquitto.conf")
        self.broker.write("/etc/systemd/system/mosquitto.service.d/telling.conf", TELLING)
        self.broker.start()
        self.office = boxes.boot("office")
        self._folder = folder
        self._install(bundle)
        self.service = Service(self.office, "promptd-fleet")

    def write_inventory(self, devices: dict[str, str], *, installs: bool = True) -> None:
        """Write down what there shall be: devices by name, with what the inventory says of each."""
        rows = "\n".join(f"  {name}: {{{words}}}" for name, words in devices.items())
        words = {"broker": self.broker.address, "port": PORT, "days": DAYS, "claim": CLAIM, "client": CLIENT}
        words["installs"] = str(installs).lower()
        self._write("fleet.yaml", INVENTORY.format(devices=rows, **words).encode())

    def apply(self, *words: str) -> str:
        """Do what the inventory says; the passphrase of the root is typed from a file."""
        return self.do("apply", "--root-passphrase-file", ROOT_SECRET, *words)

    def do(self, *words: str) -> str:
        """Run a command of the operator, as the user whose home the fleet is, and return what it prints."""
        alone = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--uid={USER}"]
        place = [f"--working-directory={HOME}", f"--property=LoadCredential={Path(CREDENTIAL).name}"]
        return self.office.run(*alone, *place, COMMAND, *words, timeout_s=APPLY_S)

    def devices(self) -> list[dict[str, Any]]:
        """Return the rows of the registry."""
        rows: list[dict[str, Any]] = json.loads(self.do("devices", "--json"))
        return rows

    def tokens(self, count: int) -> list[str]:
        """Make one-time tokens."""
        tokens: list[str] = json.loads(self.do("token", CLAIM, "--count", str(count), "--json"))
        return tokens

    def files(self) -> list[Path]:
        """Return every file that the operator has."""
        return [path for path in self.office.path(HOME).rglob("*") if path.is_file()]

    def batch_layer(self) -> Path:
        """Return what every box of the batch has besides promptd: a claim, the broker, whom to trust."""
        layer, claim = self._folder / "batch", self.office.path(f"{HOME}/fleet/claims/{CLAIM}")
        credentials = layer / "etc/promptd/credentials"
        credentials.mkdir(parents=True)
        for name in ("claim.pem", "claim.key"):
            shutil.copy(claim / name, credentials)
        shutil.copy(claim / "ca.pem", layer / "etc/promptd")
        (layer / "etc/promptd/ca.pem").chmod(0o644)
        settings = ON_THE_BOX.format(broker=self.broker.address, port=PORT)
        (layer / "etc/promptd/promptd.toml").write_text(settings)
        return layer

    @contextmanager
    def requester(self) -> Iterator[Requester]:
        """Keep the fleet's one client connected for as long as the block lasts."""
        folder = self.office.path(f"{HOME}/fleet/clients/{CLIENT}")
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        with requester_on(PORT, host=self.broker.address, tls=context) as requester:
            yield requester

    def wait_for_broker_to_say(self, is_wanted: Callable[[str], bool]) -> None:
        """Wait for a line of mosquitto."""
        mosquitto = Service(self.broker, "mosquitto")
        self.broker.wait_for(lambda: any(map(is_wanted, mosquitto.journal().splitlines())), "the line")

    def _install(self, bundle: Bundle) -> None:
        bundle.unpack(self.office)
        bundle.do(self.office, "install", "--fleet")
        self.office.write(CREDENTIAL, SECRET, 0o600)
        self._write(Path(ROOT_SECRET).name, SECRET.encode())
        self._write(".ssh/id_ed25519", self.key.read_bytes())
        self._write(f"dist/{bundle.archive.name}", bundle.archive.read_bytes())

    def _write(self, name: str, content: bytes) -> None:
        """Write a file of the operator's, as the operator."""
        path = self.office.path(f"{HOME}/{name}")
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)
        self.office.run("chown", "-R", f"{USER}:", HOME)
