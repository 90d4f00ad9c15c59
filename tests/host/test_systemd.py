"""systemd's notify protocol, over sockets on disk and in the abstract namespace."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.host.systemd import Notifier, is_under_journal, passed_socket, watchdog_interval_s


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Return the address as systemd writes it, and the socket behind it."""
    is_abstract = request.param == "abstract"
    address = f"@promptd-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stream:
        stream.bind("\0" + address[1:] if is_abstract else address)
        stream.settimeout(5)
        yield address, stream


def test_every_state_travels_as_one_datagram(listener: tuple[str, socket.socket]) -> None:
    address, stream = listener
    notifier = Notifier(address)

    sent = [
        notifier.ready("up"),
        notifier.reloading(),
        notifier.alive(),
        notifier.status("x"),
        notifier.stopping(),
    ]

    heard = [stream.recv(4096).decode().split("\n")[0] for _ in sent]
    assert sent == [True] * 5
    assert heard == ["READY=1", "RELOADING=1", "WATCHDOG=1", "STATUS=x", "STOPPING=1"]


@pytest.mark.parametrize("address", ["", "/nowhere/notify"])
def test_nothing_is_sent_when_nobody_listens(address: str) -> None:
    was_sent = Notifier(address).alive()

    assert not was_sent


@pytest.mark.parametrize(
    ("allowed_us", "pid", "interval_s"),
    [
        ("30000000", "", 15.0),
        ("30000000", str(os.getpid()), 15.0),
        ("30000000", "1", None),
        ("", "", None),
        ("x", "", None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_must(
    monkeypatch: pytest.MonkeyPatch, allowed_us: str, pid: str, interval_s: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", allowed_us)
    monkeypatch.setenv("WATCHDOG_PID", pid)

    found = watchdog_interval_s()

    assert found == interval_s


@pytest.mark.parametrize(("is_meant", "expected"), [(True, True), (False, False)])
def test_the_journal_is_recognised_when_standard_error_is_what_its_variable_means(
    monkeypatch: pytest.MonkeyPatch, *, is_meant: bool, expected: bool
) -> None:
    seen = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{seen.st_dev}:{seen.st_ino if is_meant else seen.st_ino + 1}")

    found = is_under_journal()

    assert found == expected


def test_the_socket_of_a_socket_unit_is_taken_over_where_it_is_meant_for_this_process(tmp_path: Path) -> None:
    program = (
        "import os, socket, sys; os.environ |= {'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid())};"
        "listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); os.dup2(listener.fileno(), 3);"
        "from agent.host.systemd import passed_socket; print(passed_socket().getsockname())"
    )
    path = str(tmp_path / "engine.sock")

    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)

    assert done.stdout == f"{path}\n"


@pytest.mark.parametrize("pid", ["", "1"])
def test_a_socket_for_another_process_is_left_alone(monkeypatch: pytest.MonkeyPatch, pid: str) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", pid)

    found = passed_socket()

    assert found is None
