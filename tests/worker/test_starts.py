"""Workers that die, hang or talk nonsense before they are proven; their engine is `worker/deadly.py`."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rig.deadly import make_echo_deadly

from agent.settings import EngineSettings
from agent.wire.errors import EngineError
from agent.worker.process import Worker, spawn
from agent.worker.start import Candidate, WorkerDied, start
from agent.worker.supervisor import Supervisor, _DiedYoungError
from worker.watching import Witness, asking, candidate

OpenWorker = Callable[[], Worker]
Supervise = Callable[[Sequence[Candidate]], Supervisor]


@pytest.fixture(autouse=True)
def _deadly(monkeypatch: pytest.MonkeyPatch) -> None:
    make_echo_deadly(monkeypatch)
    monkeypatch.setattr("agent.worker.supervisor.FIRST_WAIT_S", 0.01)


def doomed(fate: str) -> Candidate:
    return candidate("echo", Path(fate))


@pytest.mark.parametrize(
    ("fate", "cause"),
    [
        ("SIGSEGV", "SIGSEGV while it loaded"),
        ("exit 0", "exit code 0 while it loaded"),
        ("garbage", "broke the frame language while it loaded"),
        ("bad alloc", "out of memory while it loaded"),
    ],
)
def test_a_worker_that_ends_while_it_loads_is_a_death_with_a_cause(fate: str, cause: str) -> None:
    with pytest.raises(WorkerDied) as caught:
        start(doomed(fate), spawn)

    assert caught.value.death.cause == cause


def test_a_worker_that_hangs_while_it_loads_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.worker.start.LOAD_TIMEOUT_S", 1.0)

    with pytest.raises(WorkerDied, match=r"^hang while it loaded$"):
        start(doomed("hang"), spawn)


def test_a_worker_that_hangs_at_its_first_prompt_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.worker.start.PROOF_TIMEOUT_S", 0.5)
    monkeypatch.setattr("agent.worker.start.PROOF", asking("proof", "hang", 8))

    with pytest.raises(WorkerDied, match=r"^hang while it answered a short prompt$"):
        start(candidate("echo"), spawn)


def test_a_large_file_is_given_the_time_to_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_worker: OpenWorker
) -> None:
    monkeypatch.setattr("agent.worker.start.LOAD_TIMEOUT_S", 0.01)
    monkeypatch.setattr("agent.worker.start.SLOWEST_BYTES_PER_S", 1)
    (tmp_path / "weights").write_bytes(b"x" * 60)

    proven = start(candidate("echo", tmp_path), open_worker)

    assert proven.facts.device == "none"


def test_a_step_of_the_proof_is_timed(open_worker: OpenWorker) -> None:
    proven = start(candidate("echo"), open_worker)

    assert 0 < proven.step_s < 1


def test_a_candidate_that_keeps_dying_is_left_out_and_another_one_serves(
    supervise: Supervise, witness: Witness
) -> None:
    supervisor = supervise([doomed("SIGSEGV"), candidate("echo")])

    for deaths in range(1, 4):
        witness.wait_for_up()
        assert supervisor.state.restarts["SIGSEGV while it loaded"] == deaths
        supervisor.send(asking("a", "SIGABRT"))
        witness.wait_for_death()
    witness.wait_for_up()

    assert supervisor.state.restarts == {"SIGSEGV while it loaded": 3, "SIGABRT": 3}
    assert supervisor.state.falls[0].startswith(
        "echo: died 3 times, at last: SIGSEGV while it loaded; left out"
    )


def test_an_only_candidate_that_keeps_dying_is_tried_again_after_a_pause(witness: Witness) -> None:
    supervisor = Supervisor([doomed("exit 1")], EngineSettings(), witness)

    for _ in range(4):
        with pytest.raises(_DiedYoungError):
            supervisor._live()

    assert supervisor.state.restarts == {"exit code 1 while it loaded": 4}
    assert (supervisor.state.phase, supervisor._breaker.rests()) == ("failed", True)
    assert "left out until promptd is started again or nothing else runs" in supervisor.state.reason


def test_a_required_variant_that_dies_is_no_mistake_of_configuration(witness: Witness) -> None:
    supervisor = Supervisor([doomed("SIGSEGV")], EngineSettings(require="echo"), witness)

    with pytest.raises(_DiedYoungError):
        supervisor._live()

    assert supervisor.state.phase == "failed"


def test_an_engine_that_keeps_dying_rests_and_comes_back(
    supervise: Supervise, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.worker.breaker.MOST_DEATHS", 1)
    monkeypatch.setattr("agent.worker.supervisor.PAUSE_S", 0.5)
    supervisor = supervise([candidate("echo")])

    phases = []
    for _ in range(2):
        witness.wait_for_up()
        supervisor.send(asking("a", "SIGSEGV"))
        witness.wait_for_death()
        phases.append(supervisor.state.phase)
    witness.wait_for_up()

    assert phases == ["down", "failed"]
    assert supervisor.state.phase == "ready"


class SwappedGuard:
    """Admits a file that is another one when it has been loaded, for the first time."""

    def __init__(self, fault: str = "", change: str = "") -> None:
        self._fault, self._changes = fault, [change]

    def admit(self, _idle: Callable[[], None]) -> str:
        return self._fault

    def changed(self) -> str:
        return self._changes.pop() if self._changes else ""


def test_what_the_guard_does_not_admit_is_never_shown_to_a_worker() -> None:
    refused = replace(candidate("echo"), guard=SwappedGuard(fault="weights.gguf has another digest"))

    with pytest.raises(EngineError, match="another digest"):
        start(refused, lambda: pytest.fail("a worker was opened"))


def test_an_engine_whose_file_changed_while_it_was_loaded_does_not_serve() -> None:
    swapped = replace(candidate("echo"), guard=SwappedGuard(change="weights.gguf was changed"))
    worker = spawn()

    with pytest.raises(EngineError, match=r"weights\.gguf was changed"):
        start(swapped, lambda: worker)

    assert worker._child is not None
    assert worker._child.returncode is not None


def test_a_file_that_changes_while_it_is_loaded_is_loaded_again_even_where_the_variant_is_required(
    witness: Witness,
) -> None:
    swapped = replace(candidate("echo"), guard=SwappedGuard(change="weights.gguf was changed"))
    supervisor = Supervisor([swapped], EngineSettings(require="echo"), witness)
    thread = threading.Thread(target=supervisor.run)

    thread.start()
    witness.wait_for_up()

    assert supervisor.state.phase == "ready"
    supervisor.stop()
    thread.join(10)
    assert not thread.is_alive()
