"""The engine unit's process, as systemd starts it: fresh workers, and the truth about their ends."""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rig.process import Child

from agent.worker.death import Death
from agent.worker.frames import Finished, Load, Progress
from agent.worker.process import Worker, connect
from agent.worker.start import start
from worker.watching import asking, candidate, has_ended

TESTS = str(Path(__file__).parents[1])


class Unit:
    """A keeper on a socket of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.path = folder / "engine.sock"
        command = [sys.executable, "-m", "agent.worker.keeper", "--listen", str(self.path)]
        self.child = Child(command, {"PYTHONPATH": TESTS, **environment})
        self._workers: list[Worker] = []

    def connect(self) -> Worker:
        self._workers.append(connect(self.path))
        return self._workers[-1]

    def proven(self) -> Worker:
        """Connect, and let the echo engine prove itself."""
        worker = self.connect()
        start(candidate("echo"), lambda: worker)
        return worker

    def load(self, model: str = "", engine: str = "worker.deadly") -> Worker:
        """Connect, and ask for an engine; `model` is the fate that it meets while it loads."""
        worker = self.connect()
        options = replace(candidate("echo").options, model=Path(model) if model else None)
        worker.channel.send(Load(options, engine))
        return worker

    def end(self) -> None:
        for worker in self._workers:
            worker.bury()
        self.child.end()

    def worker_pid(self) -> int:
        (worker,) = psutil.Process(self.child.process.pid).children()
        return worker.pid


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[Unit]:
    unit = Unit(tmp_path)
    yield unit
    unit.end()


def ask(worker: Worker, text: str) -> str | None:
    """Return an answer; None when the worker ended instead."""
    worker.channel.send(asking("a", text))
    answer = ""
    while frame := worker.receive():
        if isinstance(frame, Progress | Finished):
            answer += frame.text
        if isinstance(frame, Finished):
            return answer
    return None


def forget(heard: socket.socket) -> None:
    """Throw away what was sent before now."""
    heard.setblocking(False)  # noqa: FBT003 -- it is socket's own argument
    with contextlib.suppress(BlockingIOError):
        while heard.recv(4096):
            pass
    heard.settimeout(30)


@pytest.mark.parametrize("is_busy", [False, True])
def test_the_watchdog_is_fed_whether_there_is_an_agent_or_not(tmp_path: Path, *, is_busy: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        unit = Unit(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="1000000")
        ready = systemd.recv(4096)
        if is_busy:
            unit.proven()
            forget(systemd)

        heard = systemd.recv(4096)

        unit.end()
        assert ready.startswith(b"READY=1")
        assert heard == b"WATCHDOG=1"


def test_each_agent_is_served_by_a_worker_of_its_own(unit: Unit) -> None:
    first = unit.proven()
    old = unit.worker_pid()
    first.bury()

    second = unit.proven()

    assert (ask(second, "hello"), unit.worker_pid() != old) == ("hello", True)


@pytest.mark.parametrize("fate", ["SIGSEGV", "SIGABRT", "exit 0", "exit 7"])
def test_the_agent_is_told_how_its_worker_ended(unit: Unit, fate: str) -> None:
    worker = unit.load()
    worker.receive()

    answer = ask(worker, fate)

    assert (answer, worker.bury().cause) == (None, fate.replace("exit", "exit code"))


def test_a_kill_from_outside_is_not_taken_for_want_of_memory(unit: Unit) -> None:
    worker = unit.proven()
    os.kill(unit.worker_pid(), signal.SIGKILL)

    frame = worker.receive()

    assert (frame, worker.bury()) == (None, Death("killed by SIGKILL from outside"))


def test_a_worker_that_cannot_load_leaves_its_last_words(unit: Unit) -> None:
    worker = unit.load(engine="agent.engines.nothing")
    while worker.receive():
        pass

    death = worker.bury()

    assert death.reason.startswith("exit code 1 (ModuleNotFoundError: ")


def test_what_a_worker_says_after_the_first_prompt_of_a_requester_is_not_told(unit: Unit) -> None:
    worker = unit.load()
    worker.receive()
    worker.seal()

    answer = ask(worker, "bad alloc")

    death = worker.bury()
    assert answer is None
    assert (death.cause, "secret" in death.reason) == ("out of memory", False)


def test_a_worker_that_does_not_end_with_its_agent_is_killed(unit: Unit) -> None:
    hanging = unit.load(model="hang")
    hanging.patience(0.5)
    with pytest.raises(TimeoutError):
        hanging.receive()

    hanging.bury()

    assert ask(unit.proven(), "hello") == "hello"


def test_a_worker_ends_with_its_unit(unit: Unit) -> None:
    unit.proven()
    pid = unit.worker_pid()

    unit.child.end()

    assert has_ended(pid)
