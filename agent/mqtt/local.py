"""A broker of our own on a free loopback port, for the demo and for measurements."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from agent.wire.errors import AgentError

PLACES = ("mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto")
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 15.0


class NoBrokerError(AgentError):
    """There is no mosquitto on this machine; install it (apt install mosquitto) and try again."""


@contextlib.contextmanager
def local_broker(folder: Path) -> Iterator[int]:
    """Run mosquitto for as long as the block lasts; yield its port.

    Raises:
        NoBrokerError: mosquitto is not installed, or does not start.
    """
    program = next(filter(None, map(shutil.which, PLACES)), None)
    if program is None:
        raise NoBrokerError
    port, config, log = free_port(), folder / "mosquitto.conf", folder / "mosquitto.log"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n")
    with process([program, "-c", str(config)], log):
        _wait_for(port, log)
        yield port


@contextlib.contextmanager
def process(
    command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program for as long as the block lasts, with its output in `log`."""
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output, env=env, start_new_session=True)  # noqa: S603 -- ours
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, log: Path) -> None:
    end_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise NoBrokerError(f"mosquitto does not start: {log.read_text(errors='replace')[-500:]}")
