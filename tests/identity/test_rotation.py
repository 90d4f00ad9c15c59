"""A certificate that changes on the running link: a real broker, and a service that the test plays."""

import threading
from collections.abc import Callable
from pathlib import Path

from rig.authority import Authority
from rig.box import DEVICE, TOPICS
from rig.mosquitto import Mosquitto
from rig.newcomer import wait_until
from rig.renewing import DUE_DAYS, Link, Service, alone, surroundings
from rig.requester import PATIENCE_S

from agent.admission import certificate
from agent.identity import pem
from agent.identity.pair import Pair, Pairs
from agent.identity.request import Pending
from agent.settings import BrokerSettings, Settings
from agent.wire.certificates import CertificateRequest
from agent.wire.errors import AgentError
from agent.wire.packets import Publication

OVER_DAYS = 1.2e-11
"""A microsecond: certificates know no parts of a second, so that this one is over when it is made."""


def test_a_certificate_that_is_due_is_replaced_on_the_running_link(
    authority: Authority, folder: Path, service: Service, link_up: Callable[..., Link]
) -> None:
    old = authority.enrol(folder, DEVICE, DUE_DAYS)
    link = link_up()

    service.say(service.accept(service.next_ask()))
    told = service.wait_for_event("certificate_renewed")

    new = Pairs(folder).current
    assert new is not None
    assert new.number == old.number + 1
    assert told == link.rotation.facts() | {"serial_number": f"{new.serial_number:x}"}
    assert (Pairs(folder).next, Pending(folder, DEVICE).is_waiting) == (None, False)


def test_the_broker_sees_the_same_client_and_keeps_its_session(
    authority: Authority, folder: Path, broker: Mosquitto, service: Service, link_up: Callable[..., Link]
) -> None:
    authority.enrol(folder, DEVICE, DUE_DAYS)
    link_up()

    service.say(service.accept(service.next_ask()))
    service.wait_for_event("certificate_renewed")

    welcomes = [line for line in broker.child.lines if f"Sending CONNACK to promptd-{DEVICE} (" in line]
    assert [line.partition("(")[2] for line in welcomes] == ["0, 0)", "1, 0)"]


def test_a_certificate_for_another_name_is_refused_before_it_is_tried(
    authority: Authority, folder: Path, service: Service, link_up: Callable[..., Link]
) -> None:
    old = authority.enrol(folder, DEVICE, DUE_DAYS)
    link_up()

    service.say(service.accept(service.next_ask(), name="another-box"))
    told = service.wait_for_event("certificate_refused")

    assert told["reason"] == "the new certificate is made for 'another-box', but this box is 'box'"
    assert (Pairs(folder).current, Pairs(folder).next) == (old, None)


def test_a_refusal_is_told_with_its_step_and_stands_in_the_health_report(
    authority: Authority, folder: Path, service: Service, link_up: Callable[..., Link]
) -> None:
    authority.enrol(folder, DEVICE, DUE_DAYS)
    link = link_up()

    service.say(service.refuse(service.next_ask(), "no such box"))
    told = service.wait_for_event("certificate_refused")

    assert told == {"step": "name", "reason": "no such box", "subject": DEVICE}
    assert link.rotation.body()["refusal"] == "no such box"


def test_retained_replies_and_replies_to_somebody_else_change_nothing(
    authority: Authority, folder: Path, service: Service, link_up: Callable[..., Link]
) -> None:
    old = authority.enrol(folder, DEVICE, DUE_DAYS)
    link_up()
    ask = service.next_ask()
    good = service.accept(ask)

    service.say(good, retain=True)
    service.say(good.model_copy(update={"request": "0" * 64}))
    service.requester.publish(TOPICS.certificate_reply, b"no JSON")
    service.say(service.refuse(ask, "the last word"))
    told = service.wait_for_event("certificate_refused")

    assert told["reason"] == "the last word"
    assert Pairs(folder).current == old


def test_a_certificate_that_is_over_goes_the_way_of_the_claim(
    authority: Authority, folder: Path, service: Service, link_up: Callable[..., Link]
) -> None:
    old = authority.enrol(folder, DEVICE, OVER_DAYS)

    def enrol() -> Pair:
        return authority.enrol(folder, DEVICE, DUE_DAYS)

    def is_new() -> bool:
        current = Pairs(folder).current
        return current is not None and current.number == old.number + 1

    link_up(enrol)
    wait_until(is_new)

    service.next_ask()  # which travels on a link that the new certificate has opened


def test_a_box_whose_certificate_was_revoked_asks_by_its_claim_whether_it_may_come_back(
    authority: Authority, folder: Path
) -> None:
    pair, has_asked = authority.enrol(folder, DEVICE), threading.Event()

    def enrol() -> Pair:
        has_asked.set()
        raise AgentError("not yet")

    rotation = alone(folder, pair, enrol=enrol)
    rotation.disconnected("the broker does not accept our certificate (certificate revoked)")
    rotation.tick()

    assert has_asked.wait(PATIENCE_S)


def test_an_enrolment_that_fails_is_told_to_the_operator(authority: Authority, folder: Path) -> None:
    pair = authority.enrol(folder, DEVICE, OVER_DAYS)
    is_told = threading.Event()

    def enrol() -> Pair:
        raise AgentError("the claim is over")

    rotation = alone(folder, pair, wake=is_told.set, enrol=enrol)
    rotation.tick()
    assert is_told.wait(PATIENCE_S)
    rotation.tick()

    assert rotation.trouble().endswith("enrol this box again: the claim is over")


def test_before_it_is_due_nothing_is_asked(authority: Authority, folder: Path) -> None:
    sent: list[Publication] = []
    rotation = alone(folder, authority.enrol(folder, DEVICE), publish=sent)

    rotation.connected()
    rotation.tick()

    assert sent == []


def test_the_agent_asks_by_name_because_some_authorities_take_it_from_the_request(
    authority: Authority, tmp_path: Path, folder: Path
) -> None:
    authority.enrol(folder, DEVICE, DUE_DAYS)
    settings = Settings(
        device_id=DEVICE, state_dir=tmp_path, broker=BrokerSettings(url="mqtts://127.0.0.1:1")
    )
    sent: list[Publication] = []
    renewed = certificate(settings, surroundings(publish=sent))

    renewed.connected()
    renewed.tick()

    request = CertificateRequest.model_validate_json(sent[0].payload).request
    assert pem.requested_name(request.encode()) == DEVICE
