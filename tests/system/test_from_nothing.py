"""From an empty table and ten bare boxes to ten running agents, in one command: docs/fleet.md, by SSH."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from rig.requester import Requester

from system import lan
from system.boxes import Boxes
from system.bundle import Bundle
from system.device import Device
from system.headquarters import COMMAND, HOME, USER, Headquarters
from system.machine import Machine
from system.service import Service
from system.ssh import let_in

NAMES = [f"lathe-{number}" for number in range(1, 11)]


@dataclass(frozen=True)
class Made:
    """What one run of `apply` has made of bare boxes."""

    headquarters: Headquarters
    machines: dict[str, Machine]
    requester: Requester
    planned: str


@pytest.fixture(scope="module")
def made(boxes: Boxes, bundle: Bundle) -> Iterator[Made]:
    """Return ten boxes that had Debian, sshd and the operator's key, after `plan` and `apply`."""
    with boxes.for_a_while():
        headquarters = Headquarters(boxes, bundle, lan.FILES / "from-nothing")
        machines = {name: let_in(boxes.make(name), headquarters.public_key) for name in NAMES}
        for machine in machines.values():
            machine.start()
        headquarters.write_inventory(
            {name: f"address: root@{each.address}" for name, each in machines.items()}
        )
        planned = headquarters.do("plan")
        headquarters.apply()
        with headquarters.requester() as requester:
            yield Made(headquarters, machines, requester, planned)


def test_every_box_answers_prompts(made: Made) -> None:
    devices = [Device(name, made.requester) for name in NAMES]

    tickets = [device.send("are you there") for device in devices]

    answers = zip(devices, tickets, strict=True)
    assert {device.ending(ticket) for device, ticket in answers} == {"completed"}


def test_every_box_is_known_by_a_certificate_of_its_own(made: Made) -> None:
    rows = {row["name"]: row["certificate"] for row in made.headquarters.devices()}

    assert [name for name in NAMES if not rows[name].startswith("good until ")] == []


def test_the_plan_has_named_every_box(made: Made) -> None:
    named = {line.split()[0] for line in made.planned.splitlines() if line.strip()}

    assert named >= set(NAMES)


def test_a_second_run_has_nothing_to_do(made: Made) -> None:
    processes = {name: Service(machine, "promptd").main_pid for name, machine in made.machines.items()}

    made.headquarters.apply()

    assert "nothing to do" in made.headquarters.do("plan")
    assert {name: Service(each, "promptd").main_pid for name, each in made.machines.items()} == processes


def test_root_is_told_to_work_as_the_user_whose_home_the_fleet_is(made: Made) -> None:
    done = made.headquarters.office.try_to_run(COMMAND, "devices", "--inventory", f"{HOME}/fleet.yaml")

    assert (done.returncode, "work as that user" in done.stderr) == (78, True)
    assert made.headquarters.office.run("find", f"{HOME}/fleet", "!", "-user", USER) == ""


def test_the_unit_of_the_service_starts_and_stays(made: Made) -> None:
    service = made.headquarters.service

    service.do("start")

    service.machine.wait_for(lambda: service.show("StatusText") == "serving", "the link of the service")
    assert (service.show("ActiveState"), service.restarts) == ("active", 0)
