"""The operator's side: an inventory, the commands of `promptd-fleet`, broker, rules and service."""

import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rig.process import Child

from system import lan
from system.device import CLIENT

CLAIM = "line-7"
PORT = 8883
COMMAND_S = 120.0
DAYS = 0.2
"""Life of a certificate, which begins an hour before it is made: a sixth of it is over at once."""

INVENTORY = """\
broker:
  url: mqtts://{name}:{port}
  names: [127.0.0.1]
  folder: {folder}/etc
  state_dir: {folder}/sessions
  reload: "[ ! -e {folder}/pid ] || kill -HUP $(cat {folder}/pid)"
authority: {{kind: own, passphrase_file: {folder}/passphrase, days: {days}}}
settings:
  telemetry: {{interval_s: 1}}
devices:
{devices}
claims:
  {claim}: {{expires: 2099-01-31, limit: 20, needs: both}}
clients:
  {client}: {{all: true}}
"""

ON_THE_BOX = f"""\
[broker]
url = "mqtts://{lan.BROKER_NAME}:{PORT}"
ca_file = "/etc/promptd/ca.pem"
"""


class Headquarters:
    """One fleet in one folder; `serials` are its devices' by name. Everything is done by command."""

    def __init__(self, folder: Path, serials: Mapping[str, str], stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._inventory = folder / "fleet.yaml"
        self.broker: Child
        folder.mkdir()
        self._make_room_for_broker()
        (folder / "passphrase").write_text("a passphrase of a test\n")
        rows = "\n".join(f"  {name}: {{serial: '{serial}'}}" for name, serial in serials.items())
        words = {
            "name": lan.BROKER_NAME,
            "port": PORT,
            "folder": folder,
            "claim": CLAIM,
            "client": CLIENT,
            "days": DAYS,
        }
        self._inventory.write_text(INVENTORY.format(devices=rows, **words))
        self.do(
            "apply", "--root-passphrase-file", str(folder / "passphrase"), "--dist", str(folder / "no-dist")
        )

    def do(self, *words: str) -> str:
        """Run a command of the operator and return what it prints."""
        command = [sys.executable, "-m", "provisioning.cli", *words, "--inventory", str(self._inventory)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_S)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

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
        return [path for path in self._folder.rglob("*") if path.is_file()]

    def batch_layer(self) -> Path:
        """Return what every box of the batch has besides promptd: a claim, the broker, whom to trust."""
        layer, claim = self._folder / "batch", self._folder / "fleet/claims" / CLAIM
        credentials = layer / "etc/promptd/credentials"
        credentials.mkdir(parents=True)
        for name in ("claim.pem", "claim.key"):
            shutil.copy(claim / name, credentials)
        shutil.copy(claim / "ca.pem", layer / "etc/promptd")
        (layer / "etc/promptd/ca.pem").chmod(0o644)
        (layer / "etc/promptd/promptd.toml").write_text(ON_THE_BOX)
        return layer

    def tls(self) -> ssl.SSLContext:
        """Return how the fleet's one client connects."""
        folder = self._folder / "fleet/clients" / CLIENT
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        return context

    def start(self) -> None:
        """Start the broker with what was written for it, and the service."""
        self.broker = Child(["/usr/sbin/mosquitto", "-c", f"{self._folder}/etc/mosquitto.conf", "-v"])
        self._stack.callback(self.broker.end)
        self.broker.wait_for_line(lambda line: line.endswith(" running"))
        (self._folder / "pid").write_text(str(self.broker.process.pid))
        service = [sys.executable, "-m", "provisioning.cli", "serve", "--inventory", str(self._inventory)]
        child = Child(service)
        self._stack.callback(child.end)
        child.wait_for_line(lambda line: "broker_connected" in line)

    def _make_room_for_broker(self) -> None:
        for name in ("etc", "sessions"):
            (self._folder / name).mkdir()
        shutil.chown(self._folder / "sessions", "mosquitto")
