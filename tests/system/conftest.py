"""Boxes with a real systemd, a broker on their network, and promptd installed as a customer would.

Only `make test-system` can run these: as root, and apart from the rest of the machine.
"""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from rig.mosquitto import Mosquitto, mosquitto_in
from rig.requester import Requester, requester_on

from system import cells, lan
from system.boxes import Boxes
from system.bundle import Bundle, bundle_in
from system.device import Device
from system.machine import Machine
from system.service import Service

HOUSE = Path(__file__).parents[2]
MADE = HOUSE / ".cache/system"
"""What `make test-system` makes first: the tree that boxes start from, and two bundles."""

SETTINGS = f"""\
[broker]
url = "mqtt://{lan.BROKER_NAME}:1883"
[telemetry]
interval_s = 1
"""

BOXES = pytest.StashKey[Boxes]()

Boot = Callable[..., Machine]


def pytest_sessionstart() -> None:
    """Refuse to touch the network of a machine that others use."""
    if not lan.is_apart():
        pytest.exit("these tests boot boxes on a network of their own; run `make test-system`, as root", 4)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the journals of all boxes beside a failure."""
    report = yield
    if call.excinfo and (boxes := item.session.stash.get(BOXES, None)):
        report.sections += [(f"journal of {name}", lines) for name, lines in boxes.journals().items()]
    return report


@pytest.fixture(scope="session")
def boxes(request: pytest.FixtureRequest) -> Iterator[Boxes]:
    """Return the network with room for boxes."""
    cells.remove_what_is_left()
    boxes = request.session.stash[BOXES] = Boxes(lan.open_lan(), MADE / "debian-12")
    yield boxes
    boxes.close_all()


@pytest.fixture(autouse=True)
def _tidy_up(boxes: Boxes) -> Iterator[None]:
    """Throw away what a test has booted for itself: their disks are in memory."""
    with boxes.for_a_while():
        yield


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """Return what is installed: all that a box gets."""
    return bundle_in(MADE, "first")


@pytest.fixture(scope="session")
def next_bundle() -> Bundle:
    """Return the release after it: the same code under another name."""
    return bundle_in(MADE, "second")


@pytest.fixture(scope="session")
def installed(boxes: Boxes, bundle: Bundle) -> Path:
    """Return the layer that the installation leaves, as for an image that many boxes are made from."""
    machine = boxes.boot("image")
    bundle.install(machine, SETTINGS)
    machine.run("systemctl", "stop", "promptd")
    machine.run("sh", "-c", "rm -rf /var/lib/promptd/* /root/bundle")
    return boxes.keep_as_layer(machine)


@pytest.fixture(scope="session")
def broker(boxes: Boxes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:  # noqa: ARG001 -- the network
    """Return a broker that boxes and requesters reach, open to everybody."""
    lines = ("allow_anonymous true", f"listener 1883 {lan.HOST}")
    with mosquitto_in(tmp_path_factory.mktemp("broker"), lines) as broker:
        yield broker


@pytest.fixture(scope="session")
def requester(broker: Mosquitto) -> Iterator[Requester]:
    """Return somebody outside who hears everything."""
    with requester_on(broker.port) as requester:
        yield requester


@pytest.fixture(scope="session")
def box_1(boxes: Boxes, installed: Path, requester: Requester) -> Machine:  # noqa: ARG001 -- hears it from its birth on
    """Return a box with promptd installed, which the tests of one session share."""
    return boxes.boot("box-1", installed)


@pytest.fixture
def agent(box_1: Machine) -> Service:
    """Return the agent's unit, running, with an agent that has seen no engine die: deaths make it rest."""
    service = Service(box_1, "promptd")
    service.do("restart")
    return service


@pytest.fixture
def engine(box_1: Machine, agent: Service) -> Service:  # noqa: ARG001 -- the engine comes with it
    """Return the engine's unit, running."""
    return Service(box_1, "promptd-engine")


@pytest.fixture
def device(agent: Service, requester: Requester) -> Device:
    """Return the box as its requesters see it, once it answers."""
    device = Device(agent.machine.name, requester)
    device.ending(device.send("are you there"))
    return device


@pytest.fixture
def change_settings(agent: Service) -> Iterator[Callable[[str, str], None]]:
    """Return a function that replaces words in the settings of the shared box; they come back afterwards."""
    path = agent.machine.path("/etc/promptd/promptd.toml")
    before = path.read_text()

    def change(old: str, new: str) -> None:
        path.write_text(path.read_text().replace(old, new))

    yield change
    path.write_text(before)
    agent.do("restart")
