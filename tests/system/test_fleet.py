"""Bare boxes that become a fleet by themselves: one broker, one service, a claim and a token each."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from rig.requester import Requester, requester_on
from system import lan
from system.boxes import Boxes
from system.device import Device
from system.headquarters import CLAIM, PORT, Headquarters
from system.machine import Machine
from system.service import Service

NAMES = ["press-1", "press-2", "press-3", "press-4", "press-5", "stolen"]
ENROLMENT_S = 90.0
OFFLINE_S = 60.0
"""The broker gives a silent device one and a half times its keepalive of 20 s."""


@dataclass(frozen=True)
class Fleet:
    """Boxes by name, and who has sent them out."""

    headquarters: Headquarters
    machines: dict[str, Machine]
    requester: Requester
    batch: tuple[Path, ...]

    def device(self, name: str) -> Device:
        return Device(name, self.requester)


@pytest.fixture(scope="module")
def fleet(boxes: Boxes, installed: Path) -> Iterator[Fleet]:
    """Return six boxes of one batch, switched on for the first time."""
    with ExitStack() as stack:
        folder = lan.FILES / "headquarters"
        headquarters = Headquarters(folder, {name: Machine.serial_of(name) for name in NAMES}, stack)
        headquarters.start()
        requester = stack.enter_context(requester_on(PORT, tls=headquarters.tls()))
        batch = (headquarters.batch_layer(), installed)
        machines = {name: boxes.make(name, *batch) for name in NAMES}
        for machine, token in zip(machines.values(), headquarters.tokens(len(NAMES)), strict=True):
            machine.write("/etc/promptd/credentials/token", token, 0o600)
            machine.start()
        yield Fleet(headquarters, machines, requester, batch)


def test_every_box_gets_a_certificate_of_its_own_by_itself(fleet: Fleet) -> None:
    for name in NAMES:
        fleet.device(name).wait_for_state("ready", timeout_s=ENROLMENT_S)

    rows = {row["name"]: row for row in fleet.headquarters.devices()}

    assert sorted(rows) == sorted(NAMES)
