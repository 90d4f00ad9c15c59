"""Real processes without a name: what systemd, the log and a person see, up to the first answer."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from rig.newcomer import Newcomer
from rig.plant import Plant
from rig.process import Child

from agent.client import Client
from agent.settings import BrokerSettings

FAKETIME = "libfaketimeMT.so.1"


@pytest.fixture
def plant(tmp_path: Path, stack: ExitStack) -> Plant:
    return Plant(tmp_path, stack)


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[tuple[str, Callable[[str], str]]]:
    """Return the address of a notify socket, and a function that waits for a word on it."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stream:
        stream.bind(address)
        stream.settimeout(30)

        def wait_for(word: str) -> str:
            while word not in (said := stream.recv(4096).decode()):
                pass
            return said

        yield address, wait_for


@pytest.fixture
def launch(stack: ExitStack) -> Callable[..., Child]:
    """Return a function that starts a command of promptd for a box."""

    def launch(box: Newcomer, **extra: str) -> Child:
        child = Child([sys.executable, "-m", "agent.cli", "run", "--config", str(box.config)], extra)
        stack.callback(child.end)
        return child

    return launch


def enrol(box: Newcomer, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `promptd enrol` to its end."""
    command = [sys.executable, "-m", "agent.cli", "enrol", "--config", str(box.config), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_box_goes_from_its_claim_to_an_answered_prompt_without_anybody(
    plant: Plant, launch: Callable[..., Child]
) -> None:
    plant.start_broker(reloads=True)
    service = plant.start_service()
    (token,) = plant.tokens(1)
    tester = plant.places.client("tester")
    broker = BrokerSettings(
        url=plant.url, ca_file=plant.ca_file, cert_file=tester / "cert.pem", key_file=tester / "key.pem"
    )

    launch(Newcomer(plant, "S17", token))

    with Client(broker, "box-S17") as client:
        client.wait_for("status", lambda status: status["state"] == "ready", 60)
        service.wait_for_line(lambda line: "broker_rules_brought" in line and "box-S17" in plant.rules())
        answer = client.ask({"messages": [{"role": "user", "content": "hello"}]}, 60)
    assert answer["choices"][0]["message"]["content"]


def test_a_refused_box_is_well_to_systemd_and_tells_why_and_asks_at_once_when_it_is_reloaded(
    plant: Plant, launch: Callable[..., Child], notified: tuple[str, Callable[[str], str]]
) -> None:
    address, wait_for = notified
    plant.change(needs="serial")
    plant.start_broker()
    plant.start_service()

    child = launch(Newcomer(plant, "S17"), NOTIFY_SOCKET=address, WATCHDOG_USEC="1000000")

    assert wait_for("READY=1")
    assert "no device of the inventory has the serial 'S17'" in wait_for("STATUS=enrolment is refused")
    assert wait_for("WATCHDOG=1")
    plant.change(devices={"press-3": "S17"})
    child.send_signal(signal.SIGHUP)
    assert json.loads(child.wait_for_line(lambda line: '"enrolled"' in line))["device"] == "press-3"
    assert child.wait_for_line(lambda line: '"agent_started"' in line)


def test_a_box_whose_clock_is_wrong_says_so_and_goes_on_with_its_old_certificate_once_it_is_right(
    plant: Plant, launch: Callable[..., Child]
) -> None:
    plant.start_broker()
    plant.start_service()
    (token,) = plant.tokens(1)
    box = Newcomer(plant, "S17", token)
    pair = box.enrol()
    clock = box.folder / "clock"
    clock.write_text("+5y\n")
    library = next(Path("/usr/lib").glob(f"*/faketime/{FAKETIME}"), Path(FAKETIME))
    child = launch(
        box,
        LD_PRELOAD=str(library),
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    child.wait_for_line(lambda line: "set its clock" in line)

    clock.write_text("+0d\n")

    child.wait_for_line(lambda line: '"agent_started"' in line)
    child.send_signal(signal.SIGKILL)  # how it stops under a clock that jumps is another matter
    assert box.pairs.valid == pair


def test_a_person_sees_every_step_that_the_service_took(plant: Plant) -> None:
    plant.start_broker()
    plant.start_service()
    (token,) = plant.tokens(1)

    done = enrol(Newcomer(plant, "S17", token), "--explain")

    steps = [line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith("passed")]
    assert done.returncode == 0, done.stderr
    assert steps[:3] == ["claim_found", "serial_found", "payload"]
    assert steps[-2:] == ["signing", "keeping"]
    assert done.stdout.endswith("this box is box-S17\n")


def test_a_person_sees_why_the_service_refused(plant: Plant) -> None:
    plant.start_broker()
    plant.start_service()

    done = enrol(Newcomer(plant, "S17"))

    assert done.returncode == 1
    assert "refused  token: the box shows no one-time token" in done.stdout
    assert done.stderr.startswith(
        "promptd: the box shows no one-time token; make one with: promptd-fleet token"
    )


def test_a_box_that_has_a_certificate_has_nothing_to_do_unless_it_shall_enrol_again(plant: Plant) -> None:
    plant.start_broker()
    plant.start_service()
    (token,) = plant.tokens(1)
    box = Newcomer(plant, "S17", token)
    first = box.enrol()

    done, again = enrol(box), enrol(box, "--again")

    assert done.stdout.startswith("nothing to do")
    assert again.stdout.endswith("this box is box-S17\n")
    assert box.pairs.valid
    assert box.pairs.valid.serial_number != first.serial_number
