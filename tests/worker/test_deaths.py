"""How real workers die, and what the agent learns of it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.worker.death import Death
from agent.worker.frames import Broken, Load
from agent.worker.main import EXIT_ORPHAN
from agent.worker.process import Worker, spawn
from agent.worker.start import Candidate
from worker.watching import candidate, has_ended

SIGNALS = [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT]
SEEN_S = 0.5
PARENT = """
import sys
from agent.engines.options import EngineOptions
from agent.wire.replies import EngineBadge
from agent.worker.process import spawn
from agent.worker.start import Candidate, start
worker = spawn()
options = EngineOptions("echo", None, threads=1, slots=1, context_length=64)
start(Candidate(options, EngineBadge("echo", "", "")), lambda: worker)
print(worker._child.pid, flush=True)
sys.stdin.read()
"""

StartWorker = Callable[[Candidate], Worker]


def pid_of(worker: Worker) -> int:
    assert worker._child is not None
    return worker._child.pid


@pytest.mark.parametrize("cause", SIGNALS, ids=lambda one: one.name)
def test_a_sudden_death_is_seen_at_once_and_named(start_worker: StartWorker, cause: signal.Signals) -> None:
    worker = start_worker(candidate("echo"))
    killed_s = time.monotonic()
    os.kill(pid_of(worker), cause)

    frame = worker.channel.receive_from_worker()
    death = worker.bury()

    assert frame is None
    assert time.monotonic() - killed_s < SEEN_S
    assert cause.name in death.reason


def test_a_worker_that_hangs_is_killed_and_that_is_not_taken_for_lack_of_memory(
    start_worker: StartWorker,
) -> None:
    worker = start_worker(candidate("echo"))
    os.kill(pid_of(worker), signal.SIGSTOP)

    death = worker.bury()

    assert death == Death("hang at its end")


def test_a_worker_that_cannot_load_says_why_and_leaves_its_last_words() -> None:
    worker = spawn()
    worker.channel.send(Load(candidate("echo").options, "agent.engines.nothing"))

    frame = worker.channel.receive_from_worker()
    death = worker.bury()

    assert isinstance(frame, Broken)
    assert "agent.engines.nothing" in frame.reason
    assert death.reason.startswith("exit code 1 (ModuleNotFoundError: ")


def test_a_worker_ends_when_the_agent_hangs_up(start_worker: StartWorker) -> None:
    worker = start_worker(candidate("echo"))

    death = worker.bury()

    assert death.reason.startswith("exit code 0")


def test_a_worker_does_not_listen_to_nonsense() -> None:
    worker = spawn()
    worker._stream.sendall(b"\xff" * 64)

    frame = worker.channel.receive_from_worker()
    death = worker.bury()

    assert frame is None
    assert "the agent broke the frame language" in death.reason


@pytest.mark.parametrize("is_stuck", [False, True], ids=["well", "stuck"])
def test_a_worker_dies_with_its_agent(*, is_stuck: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        if is_stuck:
            os.kill(worker, signal.SIGSTOP)

        parent.kill()

        assert has_ended(worker)


def test_a_worker_whose_parent_is_gone_already_does_not_begin() -> None:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "agent.worker.main", "--fd", str(theirs.fileno()), "--parent", "1"]

    with ours, theirs:
        done = subprocess.run(command, pass_fds=[theirs.fileno()], timeout=20, check=False)

    assert done.returncode == EXIT_ORPHAN


def test_a_worker_leaves_no_core(start_worker: StartWorker) -> None:
    pid = pid_of(start_worker(candidate("echo")))

    limits = Path(f"/proc/{pid}/limits").read_text()

    assert re.search(r"Max core file size +0 +0 ", limits)
