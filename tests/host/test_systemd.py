"""systemd's notify protocol, over sockets on disk and in the abstract namespace."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.host.systemd import Notifier, is_under_journal, watchdog_interval_s


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


def test_the_journal_is_recognised_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1234")

    found = is_under_journal()

    assert found
