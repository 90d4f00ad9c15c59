"""Real brokers, real agents and real requesters for every room that wants them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from rig.applying import Apply, Plan, apply_to
from rig.box import Box, box_in
from rig.certificates import Certificates
from rig.farm import Farm
from rig.kinds import Connect, StartBox, StartBroker
from rig.mosquitto import Mosquitto, mosquitto_in
from rig.requester import requester_on

from provisioning.facts import look
from provisioning.fleet import open_fleet
from provisioning.plan import Kind, plan


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Forget how a command or a client, run in this process, has set up its log."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """End what a test has started, the last first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def start_mosquitto(tmp_path: Path, stack: ExitStack) -> StartBroker:
    """Return a function that starts a broker with lines of its own."""
    return lambda *lines: stack.enter_context(mosquitto_in(tmp_path, lines))


@pytest.fixture
def mosquitto(tmp_path: Path, stack: ExitStack) -> Mosquitto:
    """Return a broker that lets everybody in."""
    return stack.enter_context(mosquitto_in(tmp_path))


@pytest.fixture
def connect(stack: ExitStack) -> Connect:
    """Return a function that connects a requester."""
    return lambda port, **how: stack.enter_context(requester_on(port, **how))


@pytest.fixture
def start_box(tmp_path: Path, stack: ExitStack, mosquitto: Mosquitto, connect: Connect) -> StartBox:
    """Return a function that starts a device on the plain broker."""

    def start(**tables: dict[str, Any]) -> Box:
        return stack.enter_context(box_in(tmp_path, mosquitto.url, connect(mosquitto.port), tables))

    return start


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return a certificate authority with a server, a device, and a stranger."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    """Return boxes that are reached by a script that is called like ssh."""
    return Farm(tmp_path)


@pytest.fixture
def apply(farm: Farm) -> Apply:
    """Return a function that applies the inventory of the farm."""
    return lambda **how: apply_to(farm.folder, **how)


@pytest.fixture
def planned(farm: Farm) -> Plan:
    """Return a function that tells what would be applied."""

    def planned(*, revoke: bool = False) -> list[tuple[Kind, str]]:
        with open_fleet(farm.inventory) as fleet:
            steps = plan(fleet.inventory, look(fleet, farm.dist), revoke=revoke)
        return [(step.kind, step.subject) for step in steps]

    return planned
