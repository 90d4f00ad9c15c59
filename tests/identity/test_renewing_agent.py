"""The whole agent renews its certificate: prompts are answered before and after, and reports tell of it."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from rig.authority import Authority
from rig.box import DEVICE, TOPICS, Box, box_in, chat
from rig.kinds import StartBroker
from rig.renewing import DUE_DAYS, Service
from rig.requester import requester_on

from agent.identity.pair import Pairs
from agent.wire.access import FLEET_USER


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    return tmp_path / "state" / "identity"


@pytest.fixture
def service(
    tmp_path: Path, identity: Path, stack: ExitStack, authority: Authority, start_mosquitto: StartBroker
) -> tuple[Service, Box]:
    """Return the service and a running agent whose certificate is due."""
    authority.enrol(identity, DEVICE, DUE_DAYS)
    broker = start_mosquitto(*authority.broker_lines())
    requester = stack.enter_context(requester_on(broker.port, tls=authority.context(FLEET_USER)))
    box = stack.enter_context(box_in(tmp_path, f"mqtts://127.0.0.1:{broker.port}", requester))
    return Service(requester, authority), box


def test_reports_and_answers_come_over_the_new_certificate(
    identity: Path, service: tuple[Service, Box]
) -> None:
    desk, box = service
    before = box.send(chat("asked before the certificate changes"))

    desk.say(desk.accept(desk.next_ask()))
    desk.wait_for_event("certificate_renewed")
    after = box.send(chat("asked after the certificate has changed"))

    new = Pairs(identity).current
    assert new is not None
    number = f"{new.serial_number:x}"
    assert [box.ending(ticket).event for ticket in (before, after)] == ["completed", "completed"]
    box.wait_for_health(lambda health: health["certificate"]["serial_number"] == number)
    desk.requester.wait_for(
        lambda reply: reply.topic == TOPICS.info and reply.body["certificate"]["serial_number"] == number
    )


def test_a_refused_renewal_stands_in_health_and_the_agent_goes_on(service: tuple[Service, Box]) -> None:
    desk, box = service

    desk.say(desk.refuse(desk.next_ask(), "no such box"))
    health = box.wait_for_health(lambda health: health["certificate"]["refusal"] != "")
    answered = box.ending(box.send(chat("asked after the refusal")))

    assert health["certificate"]["refusal"] == "no such box"
    assert answered.event == "completed"
