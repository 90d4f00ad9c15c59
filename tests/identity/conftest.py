"""A box with an identity of its own folder, its broker, and a provisioning service that a test plays."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from rig.authority import Authority
from rig.kinds import StartBroker
from rig.mosquitto import Mosquitto
from rig.renewing import Link, Service
from rig.requester import requester_on

from agent.wire.access import FLEET_USER


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority of our own."""
    return Authority(tmp_path_factory.mktemp("authority"))


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
