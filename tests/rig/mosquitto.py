"""A real mosquitto on a free loopback port."""

import contextlib
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

from rig.process import Child

OPEN = ("allow_anonymous true",)


class Mosquitto:
    """One broker; it can be restarted on the same port and keeps its sessions then."""

    def __init__(self, folder: Path, lines: tuple[str, ...] = OPEN) -> None:
        self.port = free_port()
        self._config = folder / f"mosquitto-{self.port}.conf"
        # Started as root, mosquitto would become another user, who cannot read a test's folder.
        common = (
            "user root",
            f"listener {self.port} 127.0.0.1",
            "set_tcp_nodelay true",
            "persistence true",
            f"persistence_file broker-{self.port}.db",
            f"persistence_location {folder}/",
        )
        self._config.write_text("\n".join((*common, *lines)) + "\n")
        self.child = self._start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.child.send_signal(number)
        self.child.wait()

    def start(self) -> None:
        self.child = self._start()

    def _start(self) -> Child:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        child = Child([program, "-v", "-c", str(self._config)])
        child.wait_for_line(lambda line: line.endswith(" running"))
        return child


@contextlib.contextmanager
def mosquitto_in(folder: Path, lines: tuple[str, ...] = OPEN) -> Iterator[Mosquitto]:
    """Run a broker as long as the context lasts."""
    broker = Mosquitto(folder, lines)
    try:
        yield broker
    finally:
        broker.child.end()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
