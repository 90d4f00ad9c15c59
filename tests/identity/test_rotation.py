"""A certificate that changes on the running link: a real broker, and a service that the test plays."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rig.authority import Authority
from rig.box import DEVICE, TOPICS
from rig.kinds import StartBroker
from rig.mosquitto import Mosquitto
from rig.newcomer import wait_until
from rig.renewing import DUE_DAYS, RENEW_AT, SOON, Link, Service
from rig.requester import PATIENCE_S, requester_on

from agent.admission import certificate
from agent.identity import pem
from agent.identity.pair import Pair, Pairs
from agent.identity.request import Pending
from agent.identity.rotation import Rotation, Surroundings
from agent.settings import BrokerSettings, Settings
from agent.wire.access import FLEET_USER
from agent.wire.certificates import CertificateRequest
from agent.wire.errors import AgentError
from agent.wire.packets import Publication

OVER_DAYS = 1.2e-11
"""A microsecond: certificates know no parts of a second, so that this one is over when it is made."""


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority that no broker of these tests trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "identity"


@pytest.fixture
def broker(start_mosquitto: StartBroker, authority: Authority) -> Mosquitto:
    """Return a broker that takes its users from certificates."""
    return start_mosquitto(*authority.broker_lines())


@pytest.fixture
def service(stack: ExitStack, broker: Mosquitto, authority: Authority) -> Service:
    tls = authority.context(FLEET_USER)
    return Service(stack.enter_context(requester_on(broker.port, tls=tls)), authority)


@pytest.fixture
def link_up(stack: ExitStack, broker: Mosquitto, folder: Path) -> Callable[..., Link]:
    """Return a function that starts the link of the box."""
    return lambda enrol=None: stack.enter_context(Link(folder, broker.port, enrol))


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


def test_a_certificate_of_a_stranger_is_given_up_and_the_old_one_serves_on(
    authority: Authority,
    stranger: Authority,
    folder: Path,
    service: Service,
    link_up: Callable[..., Link],
) -> None:
    old = authority.enrol(folder, DEVICE, DUE_DAYS)
    link_up()

    service.say(service.accept(service.next_ask(), signer=stranger))
    told = service.wait_for_event("certificate_refused")

    assert (told["step"], "the old one stays" in told["reason"]) == ("trial", True)
    assert (Pairs(folder).current, Pairs(folder).next) == (old, None)
    assert [path.name for path in (folder / "pairs").iterdir()] == [str(old.number)]


def test_after_a_failed_trial_the_next_request_has_a_new_key_and_succeeds(
    authority: Authority,
    stranger: Authority,
    folder: Path,
    service: Service,
    link_up: Callable[..., Link],
) -> None:
    authority.enrol(folder, DEVICE, DUE_DAYS)
    link = link_up()
    first = service.next_ask()

    service.say(service.accept(first, signer=stranger))
    service.wait_for_event("certificate_refused")
    second = service.next_ask()
    while second.body["request"] == first.body["request"]:
        second = service.next_ask()
    service.say(service.accept(second))
    service.wait_for_event("certificate_renewed")

    assert link.rotation.body()["refusal"] == ""


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


def test_a_pair_that_was_being_tried_when_the_power_went_is_tried_again_without_asking(
    authority: Authority, folder: Path, service: Service, link_up: Callable[..., Link]
) -> None:
    authority.enrol(folder, DEVICE, DUE_DAYS)
    tried = received(authority, folder)
    Pairs(folder).try_next(tried)

    link_up()
    service.wait_for_event("certificate_renewed")

    assert Pairs(folder).current == tried
    assert not [reply for reply in service.requester.replies if reply.topic == TOPICS.certificate_request]


def test_the_key_of_a_pair_that_the_power_cut_left_untried_is_not_asked_with_again(
    authority: Authority, folder: Path, service: Service, link_up: Callable[..., Link]
) -> None:
    authority.enrol(folder, DEVICE, DUE_DAYS)
    Pairs(folder).try_next(received(authority, folder))
    assert Pending(folder, DEVICE).is_waiting

    link_up()
    service.wait_for_event("certificate_renewed")

    assert not Pending(folder, DEVICE).is_waiting


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


def test_a_trial_that_takes_too_long_begins_its_link_again(
    authority: Authority, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = authority.enrol(folder, DEVICE)
    Pairs(folder).try_next(received(authority, folder))
    begun: list[bool] = []
    rotation = alone(folder, pair, reconnect=lambda: begun.append(True))
    monkeypatch.setattr("agent.identity.rotation.TRIAL_S", 0.0)

    rotation.connected()
    rotation.tick()
    rotation.tick()

    assert begun == [True, True]


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


def surroundings(publish: list[Publication] | None = None, **others: Any) -> Surroundings:  # noqa: ANN401 -- its fields
    """Return a process without a link, whose broker takes everything."""
    sent = [] if publish is None else publish

    def take(publication: Publication) -> int:
        sent.append(publication)
        return len(sent)

    return Surroundings(**{"topics": TOPICS, "publish": take, "reconnect": lambda: None, **others})


def alone(folder: Path, pair: Pair, publish: list[Publication] | None = None, **others: Any) -> Rotation:  # noqa: ANN401 -- as above
    return Rotation(
        Pairs(folder), pair, Pending(folder, DEVICE), surroundings(publish, **others), RENEW_AT, SOON
    )


def received(authority: Authority, folder: Path) -> Pair:
    """Return a pair that was handed out and stored, while its request still waits: the power goes now."""
    pending = Pending(folder, DEVICE)
    issued = authority.sign(pending.pem(), DEVICE)
    return pending.receive(Pairs(folder), issued.chain_pem, authority.signer.authorities)
