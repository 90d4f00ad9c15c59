"""Boxes that become a fleet by themselves: one broker, one provisioning service, a claim and a token each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rig.requester import Requester

from system import lan
from system.boxes import Boxes
from system.bundle import Bundle
from system.device import Device
from system.headquarters import Headquarters
from system.machine import Machine
from system.service import Service

STAYING = ["press-1", "press-2", "press-3", "press-4", "press-5"]
NAMES = [*STAYING, "stolen"]
ENROLMENT_S = 90.0
OFFLINE_S = 60.0
"""The broker gives a silent device one and a half times its keepalive of 20 s."""
DUE_AT_ONCE = "[identity]\nrenew_at = 0.1\n"
"""With its jitter at most 15 % of a life: so much is over when it begins (`DAYS` in headquarters.py)."""


@dataclass(frozen=True)
class Fleet:
    """Boxes by name, and who has sent them out."""

    headquarters: Headquarters
    machines: dict[str, Machine]
    requester: Requester
    batch: tuple[Path, ...]

    def device(self, name: str) -> Device:
        return Device(name, self.requester)

    def wait_until_all_are_ready(self) -> None:
        for name in NAMES:
            self.device(name).wait_for_state("ready", timeout_s=ENROLMENT_S)


@pytest.fixture(scope="module")
def fleet(boxes: Boxes, bundle: Bundle, installed: Path) -> Iterator[Fleet]:
    """Return six boxes of one batch, switched on for the first time."""
    with boxes.for_a_while():
        headquarters = Headquarters(boxes, bundle, lan.FILES / "operator")
        headquarters.write_inventory({name: f"serial: '{Machine.serial_of(name)}'" for name in NAMES})
        headquarters.apply("--dist", "none")
        headquarters.service.do("start")
        batch = (headquarters.batch_layer(), installed)
        machines = {name: boxes.make(name, *batch) for name in NAMES}
        with headquarters.requester() as requester:
            for machine, token in zip(machines.values(), headquarters.tokens(len(NAMES)), strict=True):
                machine.write("/etc/promptd/credentials/token", token, 0o600)
                machine.start()
            yield Fleet(headquarters, machines, requester, batch)


def test_every_box_gets_a_certificate_of_its_own_by_itself(fleet: Fleet) -> None:
    fleet.wait_until_all_are_ready()

    rows = {row["name"]: row for row in fleet.headquarters.devices()}

    assert {rows[name]["serial"] for name in STAYING} == {Machine.serial_of(name) for name in STAYING}
    assert all(rows[name]["certificate"].startswith("good until ") for name in STAYING)


def test_every_box_answers_prompts(fleet: Fleet) -> None:
    devices = [fleet.device(name) for name in STAYING]

    tickets = [(device, device.send(f"for {device.topics.status}")) for device in devices for _ in range(5)]

    endings = [device.ending(ticket) for device, ticket in tickets]
    assert endings == ["completed"] * len(tickets)


def test_no_private_key_is_known_to_anybody_but_its_box(fleet: Fleet) -> None:
    fleet.wait_until_all_are_ready()

    keys = [
        machine.path("/var/lib/promptd/identity/current/key.pem").resolve()
        for machine in fleet.machines.values()
    ]
    texts = {key.read_text() for key in keys}

    assert len(texts) == len(NAMES)
    assert [
        path for path in fleet.headquarters.files() if path.read_bytes() in {text.encode() for text in texts}
    ] == []


def test_a_box_that_is_cut_off_is_seen_offline_and_answers_what_waited_when_it_is_back(fleet: Fleet) -> None:
    device, machine = fleet.device("press-4"), fleet.machines["press-4"]
    device.wait_for_state("ready", timeout_s=ENROLMENT_S)
    machine.cut()
    device.wait_for_state("offline", timeout_s=OFFLINE_S)
    ticket = device.send("waits at the broker")

    machine.mend()

    assert device.ending(ticket, 120) == "completed"


def test_a_revoked_box_is_refused_and_the_others_work_on(fleet: Fleet) -> None:
    headquarters = fleet.headquarters
    fleet.wait_until_all_are_ready()

    headquarters.do("revoke", "stolen", "--reason", "stolen")

    headquarters.wait_for_broker_to_say(lambda line: "certificate verify failed" in line)
    endings = [fleet.device(name).ending(fleet.device(name).send("still there")) for name in STAYING]
    assert endings == ["completed"] * len(STAYING)


def test_a_copied_claim_and_token_let_no_other_box_in(fleet: Fleet, boxes: Boxes) -> None:
    fleet.wait_until_all_are_ready()
    copy = boxes.make("copy", *fleet.batch)
    token = fleet.machines["press-1"].path("/etc/promptd/credentials/token").read_text()
    copy.write("/etc/promptd/credentials/token", token, 0o600)

    copy.start()

    agent = Service(copy, "promptd")
    copy.wait_for(lambda: '"step": "token", "passed": false' in agent.journal(), "the refusal of the token")
    assert agent.show("ActiveState") == "active"


def test_the_service_has_brought_the_broker_its_rules_by_ssh(fleet: Fleet) -> None:
    fleet.wait_until_all_are_ready()

    rules = fleet.headquarters.broker.path("/etc/mosquitto/promptd/acl").read_text()

    assert [name for name in STAYING if f"user {name}\n" not in rules] == []


def test_the_audit_log_is_whole(fleet: Fleet) -> None:
    fleet.wait_until_all_are_ready()

    verified = fleet.headquarters.do("audit", "verify")

    assert "none changed" in verified


def test_a_box_renews_its_certificate_on_the_running_link(fleet: Fleet) -> None:
    machine, device = fleet.machines["press-3"], fleet.device("press-3")
    agent, identity = Service(machine, "promptd"), machine.path("/var/lib/promptd/identity")
    device.wait_for_state("ready", timeout_s=ENROLMENT_S)
    settings = machine.path("/etc/promptd/promptd.toml")
    settings.write_text(f"{settings.read_text()}{DUE_AT_ONCE}")

    agent.do("restart")

    renewed = device.wait_for_event("certificate_renewed")
    assert renewed.body["subject"] == "press-3"
    machine.wait_for(lambda: (identity / "current").readlink().name == "2", "the new pair in use")
    assert (agent.restarts, device.ending(device.send("with the new certificate"))) == (0, "completed")
