"""From nothing to a box that answers, in one command: real ssh, mosquitto, agent and certificates."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from rig.mosquitto import free_port
from rig.sshd import SshBox

from agent.client import AskError, Client
from agent.settings import BrokerSettings

HERE = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}

INVENTORY = """\
broker:
  url: mqtts://127.0.0.1:{port}
  state_dir: {folder}/broker-state
  folder: {folder}/broker
  owner: nobody-of-this-name
  reload: sh {folder}/reload.sh
authority: {{kind: own, passphrase_file: ../../passphrase}}
ssh: {{options: {options}}}
settings:
  telemetry: {{interval_s: 1}}
devices:
  box-1: {{serial: S1, address: '{address}'}}
clients:
  dashboard: {{devices: [box-1]}}
  stranger: {{}}
"""

# Started as root, mosquitto would become another user, who cannot read a test's folder.
RELOAD = """\
set -eu
cd {folder}
mkdir -p broker-state
(cat broker/mosquitto.conf; echo 'user root') > mosquitto.conf
if [ -e mosquitto.pid ]; then kill -HUP "$(cat mosquitto.pid)"; exit; fi
setsid /usr/sbin/mosquitto -v -c mosquitto.conf > mosquitto.log 2>&1 < /dev/null &
echo $! > mosquitto.pid
until grep -q ' running$' mosquitto.log; do sleep 0.05; done
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A fleet of one box behind ssh, and its broker."""

    folder: Path
    port: int
    run: Callable[..., "subprocess.CompletedProcess[str]"]

    def client(self, name: str) -> BrokerSettings:
        """Return how a client of the inventory connects, with what `apply` made for it."""
        keys = self.folder / "fleet/clients" / name
        return BrokerSettings(
            url=f"mqtts://127.0.0.1:{self.port}",
            ca_file=keys / "ca.pem",
            cert_file=keys / "cert.pem",
            key_file=keys / "key.pem",
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, port = tmp_path_factory.mktemp("site"), free_port()
    with ExitStack() as stack:
        (folder / "box").mkdir()
        box = SshBox(folder / "box")
        stack.callback(box.end)
        stack.callback(_end_broker, folder)
        (folder / "passphrase").write_text("a passphrase of a test")
        (folder / "reload.sh").write_text(RELOAD.format(folder=folder))
        text = INVENTORY.format(
            folder=folder, port=port, options=json.dumps(box.options), address=box.address
        )
        (folder / "fleet.yaml").write_text(text)

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "provisioning.cli", *words]
            return subprocess.run(
                command, cwd=folder, env=HERE, capture_output=True, text=True, timeout=100, check=False
            )

        done = run("apply", "--root-passphrase-file", "passphrase")
        assert done.returncode == 0, done.stderr
        yield Site(folder, port, run)


def _end_broker(folder: Path) -> None:
    pid = folder / "mosquitto.pid"
    if pid.exists():
        subprocess.run(["kill", pid.read_text().strip()], check=False)


def ask(site: Site, client: str, text: str, timeout_s: float) -> str:
    """Return the answer of the box to this client."""
    with Client(site.client(client), "box-1") as link:
        body = {"messages": [{"role": "user", "content": text}]}
        return str(link.ask(body, timeout_s)["choices"][0]["message"]["content"])


def test_one_command_makes_a_box_that_answers_its_client(site: Site) -> None:
    answer = ask(site, "dashboard", "are you there?", 30)

    assert "are you there?" in answer
    assert json.loads(site.run("plan", "--json").stdout) == []


def test_a_client_without_this_box_is_not_answered(site: Site) -> None:
    with pytest.raises(AskError) as caught:
        ask(site, "stranger", "and for me?", 2)

    assert "did not answer" in str(caught.value)


def test_changed_settings_come_to_the_box(site: Site) -> None:
    inventory = site.folder / "fleet.yaml"
    inventory.write_text(inventory.read_text().replace("interval_s: 1", "interval_s: 0.25"))

    done = site.run("apply")

    assert done.returncode == 0, done.stderr
    with Client(site.client("dashboard"), "box-1") as client:
        first = client.wait_for("health", lambda _: True, 30)
        assert client.wait_for("health", lambda health: health != first, 0.9)


def test_a_revoked_box_is_cut_off_at_once_and_let_in_again_by_name(site: Site) -> None:
    site.run("revoke", "box-1", "--reason", "stolen")
    with pytest.raises(AskError):
        ask(site, "dashboard", "still there?", 3)

    done = site.run("apply", "--again", "box-1")

    assert done.returncode == 0, done.stderr
    assert "back again?" in ask(site, "dashboard", "back again?", 30)
