"""When the keeper tells systemd that it is alive."""

import select
import socket
from pathlib import Path

import pytest

from agent.worker.keeper import Keeper


def test_waits_that_an_event_ends_early_do_not_add_up_to_a_hungry_watchdog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        theirs.send(b"an agent comes")

        Keeper(ours)._wait_for({ours.fileno(): select.POLLIN})

        assert systemd.recv(4096) == b"WATCHDOG=1"
