"""A box that is switched off and on with prompts in its queue."""

import pytest
from rig.box import Ticket

from system.device import Device
from system.machine import Machine
from system.service import Service


@pytest.fixture
def waiting(device: Device, engine: Service) -> list[Ticket]:
    """Return prompts that are in the queue of a box whose engine does not move."""
    engine.freeze_child()
    tickets = [device.send(f"waits {number}", progress=True) for number in range(5)]
    for ticket in tickets:
        device.accepted(ticket)
    return tickets


def test_a_reboot_keeps_the_queue(box_1: Machine, device: Device, waiting: list[Ticket]) -> None:
    box_1.reboot()

    assert [device.ending(ticket) for ticket in waiting] == ["completed"] * 5
    assert [device.answers(ticket) for ticket in waiting] == [1] * 5


def test_a_power_cut_keeps_the_queue(box_1: Machine, device: Device, waiting: list[Ticket]) -> None:
    box_1.lose_power()
    box_1.start()

    assert [device.ending(ticket) for ticket in waiting] == ["completed"] * 5
    assert [device.answers(ticket) for ticket in waiting] == [1] * 5
