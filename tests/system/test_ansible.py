"""The Ansible role on bare boxes, with the inventory that promptd-fleet prints; a claim lets them in."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rig.requester import Requester

from system import lan
from system.boxes import Boxes
from system.bundle import Bundle
from system.device import Device
from system.headquarters import HOME, Headquarters
from system.machine import Machine
from system.service import Service
from system.ssh import let_in

NAMES = ["mill-1", "mill-2"]
PLAYBOOKS = Path(__file__).parents[2] / "provisioning/ansible"
PLAY_S = 600.0


@dataclass(frozen=True)
class Play:
    """What can be played again: the inventory of Ansible, and how it reaches the boxes."""

    headquarters: Headquarters
    machines: dict[str, Machine]
    requester: Requester
    command: list[str]

    def play(self) -> str:
        """Run the playbook and return what it says at its end."""
        environment = {**os.environ, "ANSIBLE_HOST_KEY_CHECKING": "False", "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            self.command, capture_output=True, text=True, check=False, timeout=PLAY_S, env=environment
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        return done.stdout.partition("PLAY RECAP")[2]


@pytest.fixture(scope="module")
def play(boxes: Boxes, bundle: Bundle) -> Iterator[Play]:
    """Return two boxes after the first run of the playbook."""
    with boxes.for_a_while():
        headquarters = Headquarters(boxes, bundle, lan.FILES / "ansible")
        machines = {name: let_in(boxes.make(name), headquarters.public_key) for name in NAMES}
        for machine in machines.values():
            machine.start()
        devices = {
            name: f"address: root@{each.address}, serial: '{Machine.serial_of(name)}'"
            for name, each in machines.items()
        }
        headquarters.write_inventory(devices, installs=False)
        headquarters.apply()
        headquarters.service.do("start")
        hosts = hosts_for_ansible(headquarters)
        release = bundle.archive.name.split("-")[1]
        variables = {"promptd_bundles": str(bundle.archive.parent), "promptd_release": release}
        command = ["ansible-playbook", "--private-key", str(headquarters.key), "-i", str(hosts)]
        with headquarters.requester() as requester:
            playbook = str(PLAYBOOKS / "playbook.yml")
            play = Play(headquarters, machines, requester, [*command, "-e", json.dumps(variables), playbook])
            play.play()
            yield play


def hosts_for_ansible(headquarters: Headquarters) -> Path:
    """Return what `promptd-fleet ansible` prints, with a token for each box and paths as they are here."""
    text = headquarters.do("ansible").replace(HOME, str(headquarters.office.path(HOME)))
    hosts = json.loads(text)
    (group,) = hosts["all"]["children"].values()
    for host, token in zip(group["hosts"].values(), headquarters.tokens(len(NAMES)), strict=True):
        host["promptd_token"] = token
    path = headquarters.key.with_name("hosts.json")
    path.write_text(json.dumps(hosts))
    return path


def test_the_boxes_enrol_by_their_claim_and_answer(play: Play) -> None:
    devices = [Device(name, play.requester) for name in NAMES]
    for device in devices:
        device.wait_for_state("ready", timeout_s=120)

    endings = [device.ending(device.send("are you there")) for device in devices]

    assert endings == ["completed"] * len(NAMES)


def test_a_second_run_changes_nothing(play: Play) -> None:
    before = [Service(machine, "promptd").main_pid for machine in play.machines.values()]

    recap = play.play()

    assert re.findall(r"changed=(\d+)", recap) == ["0"] * len(NAMES)
    assert [Service(machine, "promptd").main_pid for machine in play.machines.values()] == before


def test_apply_leaves_to_ansible_what_is_ansibles(play: Play) -> None:
    planned = play.headquarters.do("plan")

    assert [name for name in NAMES if name in planned] == []


def test_the_linter_finds_nothing() -> None:
    command = ["ansible-lint", "--offline", "--nocolor", "--profile", "production", "playbook.yml"]

    done = subprocess.run(command, cwd=PLAYBOOKS, capture_output=True, text=True, check=False)

    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
