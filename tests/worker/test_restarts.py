"""What dies is restarted, and nothing stays behind."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from agent.settings import EngineSettings
from agent.worker.death import Death
from agent.worker.start import Candidate, Proven
from agent.worker.supervisor import Supervisor
from worker.watching import Witness, asking, candidate, has_ended

SIGNALS = [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT]
SEEN_S = 0.5

Supervise = Callable[[Sequence[Candidate]], Supervisor]


def pid_of(supervisor: Supervisor) -> int:
    assert supervisor._worker is not None
    assert supervisor._worker._child is not None
    return supervisor._worker._child.pid


@pytest.mark.parametrize("cause", SIGNALS, ids=lambda one: one.name)
def test_a_death_is_heard_at_once_with_its_cause(
    supervise: Supervise, witness: Witness, cause: signal.Signals
) -> None:
    supervisor = supervise([candidate("echo")])
    witness.wait_for_up()
    killed_s = time.monotonic()

    os.kill(pid_of(supervisor), cause)
    death = witness.wait_for_death()

    assert time.monotonic() - killed_s < SEEN_S
    assert cause.name in death.reason


@pytest.mark.parametrize("cause", SIGNALS, ids=lambda one: one.name)
def test_after_a_death_the_engine_comes_back_and_answers_the_same(
    supervise: Supervise, witness: Witness, cause: signal.Signals
) -> None:
    supervisor = supervise([candidate("gguf-cpu")])
    witness.wait_for_up()
    supervisor.send(asking("before", "hello"))
    before = witness.wait_for_end("before")

    os.kill(pid_of(supervisor), cause)
    witness.wait_for_up()
    supervisor.send(asking("after", "hello"))
    after = witness.wait_for_end("after")

    assert (after.tokens, after.finish) == (before.tokens, before.finish)
    assert sum(supervisor.state.restarts.values()) == 1


def test_a_worker_that_dies_at_work_takes_its_prompt_along_and_no_more(
    supervise: Supervise, witness: Witness
) -> None:
    supervisor = supervise([candidate("echo")])
    witness.wait_for_up()
    os.kill(pid_of(supervisor), signal.SIGSTOP)
    supervisor.send(asking("lost", "hello"))

    supervisor.kill(Death("hang between tokens"))
    death = witness.wait_for_death()
    witness.wait_for_up()
    supervisor.send(asking("next", "hello"))

    assert death == Death("hang between tokens")
    assert witness.wait_for_end("next").tokens == 5
    assert supervisor.state.restarts == {"hang between tokens": 1}


def test_a_supervisor_that_stops_leaves_no_worker_behind(witness: Witness) -> None:
    supervisor = Supervisor([candidate("echo")], EngineSettings(), witness)
    thread = threading.Thread(target=supervisor.run, name="supervisor")
    thread.start()
    witness.wait_for_up()
    pid = pid_of(supervisor)

    supervisor.stop()
    thread.join(10)

    assert has_ended(pid)
    assert not thread.is_alive()


def test_a_worker_that_opens_while_the_supervisor_stops_is_sent_away(witness: Witness) -> None:
    supervisor = Supervisor([candidate("echo")], EngineSettings(), witness)
    supervisor.stop()

    worker = supervisor._open_worker()

    assert worker.channel.receive_from_worker() is None
    worker.bury()


class Impatient(Witness):
    """Kills every engine the moment it is up."""

    supervisor: Supervisor

    def engine_up(self, proven: Proven) -> None:
        super().engine_up(proven)
        self.supervisor.kill(Death("killed at once"))


def test_a_worker_that_is_killed_before_it_serves_is_a_death_like_any_other() -> None:
    witness = Impatient()
    supervisor = witness.supervisor = Supervisor([candidate("echo")], EngineSettings(), witness)
    thread = threading.Thread(target=supervisor.run, name="supervisor")
    thread.start()

    death = witness.wait_for_death()
    supervisor.stop()
    thread.join(10)

    assert death == Death("killed at once")


def test_a_worker_that_is_gone_when_it_is_spoken_to_is_told_by_its_own_death(
    supervise: Supervise, witness: Witness
) -> None:
    supervisor = supervise([candidate("echo")])
    witness.wait_for_up()
    pid = pid_of(supervisor)

    os.kill(pid, signal.SIGSEGV)
    assert has_ended(pid)
    supervisor.send(asking("late", "hello"))

    assert witness.wait_for_death() == Death("SIGSEGV")


def test_a_worker_that_reads_nothing_is_a_hang(
    supervise: Supervise, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.worker.process.SEND_TIMEOUT_S", 1)
    supervisor = supervise([candidate("echo")])
    witness.wait_for_up()
    os.kill(pid_of(supervisor), signal.SIGSTOP)
    os.waitid(os.P_PID, pid_of(supervisor), os.WSTOPPED)  # until then it may still read

    for number in range(9):
        supervisor.send(asking(f"{number}", "x" * 100_000))

    assert witness.wait_for_death() == Death("hang while it was spoken to")
