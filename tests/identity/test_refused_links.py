"""Links that a broker does not let in, and links that change: what is told, and what nobody must hear."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from rig.authority import Authority
from rig.box import DEVICE, TOPICS, Box, box_in
from rig.kinds import StartBroker
from rig.renewing import DUE_DAYS, Service
from rig.requester import Requester, requester_on

from agent.identity.pair import Pairs
from agent.wire.access import FLEET_USER

OVER_DAYS = 1e-6
"""Less than a second, and certificates know no parts of one."""


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority that no broker of these tests trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    return tmp_path / "state" / "identity"


@pytest.fixture
def launch(
    tmp_path: Path, stack: ExitStack, authority: Authority, start_mosquitto: StartBroker
) -> Callable[[], Box]:
    """Return a function that launches an agent at a broker that takes its users from certificates."""

    def launch() -> Box:
        broker = start_mosquitto(*authority.broker_lines())
        requester = stack.enter_context(requester_on(broker.port, tls=authority.context(FLEET_USER)))
        box = Box(tmp_path, f"mqtts://127.0.0.1:{broker.port}", requester)
        stack.callback(box.launch().end)
        return box

    return launch


def test_a_certificate_that_is_over_is_named_as_the_reason(
    authority: Authority, identity: Path, launch: Callable[[], Box]
) -> None:
    authority.enrol(identity, DEVICE, OVER_DAYS)

    line = launch().child.wait_for_line(lambda line: "broker_link_lost" in line)

    assert "does not accept our certificate (certificate expired)" in line


def test_a_certificate_of_a_stranger_is_named_as_the_reason(
    authority: Authority, stranger: Authority, identity: Path, launch: Callable[[], Box]
) -> None:
    key, chain, _ = stranger.parts(DEVICE)
    pairs = Pairs(identity)
    pairs.promote(pairs.add(key, chain, authority.signer.authorities.encode()))

    line = launch().child.wait_for_line(lambda line: "broker_link_lost" in line)

    assert "does not accept our certificate (unknown ca)" in line


@pytest.fixture
def renewed(
    tmp_path: Path, stack: ExitStack, authority: Authority, identity: Path, start_mosquitto: StartBroker
) -> Requester:
    """Return a requester that has heard all of a renewal."""
    authority.enrol(identity, DEVICE, DUE_DAYS)
    broker = start_mosquitto(*authority.broker_lines())
    requester = stack.enter_context(requester_on(broker.port, tls=authority.context(FLEET_USER)))
    stack.enter_context(box_in(tmp_path, f"mqtts://127.0.0.1:{broker.port}", requester))
    desk = Service(requester, authority)
    desk.say(desk.accept(desk.next_ask()))
    desk.wait_for_event("certificate_renewed")
    return requester


def test_nobody_hears_that_a_box_is_offline_because_its_certificate_changes(renewed: Requester) -> None:
    states = [reply.body["state"] for reply in renewed.replies if reply.topic == TOPICS.status]

    assert states
    assert "offline" not in states


def test_no_private_key_is_seen_on_any_topic(identity: Path, renewed: Requester) -> None:
    new = Pairs(identity).current
    assert new is not None

    middle = new.key_file.read_bytes().splitlines()[1]

    said = b"".join(reply.payload for reply in renewed.replies)
    assert (b"PRIVATE KEY" in said, middle in said) == (False, False)
