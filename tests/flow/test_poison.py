"""Prompts that kill their worker, in the company of others: a real ledger, a real supervisor, real deaths."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rig.deadly import make_echo_deadly

from agent.engines.options import EngineOptions
from agent.flow.dispatcher import Dispatcher
from agent.flow.endings import Endings
from agent.flow.ledger import Capacity, Ledger
from agent.flow.meter import Meter
from agent.host.pulse import spawn
from agent.settings import EngineSettings
from agent.wire.replies import EngineBadge
from agent.worker.start import Candidate
from agent.worker.supervisor import Supervisor
from flow.prompts import prompt, take

CANDIDATE = Candidate(EngineOptions("echo", None, 1, slots=4, context_length=64), EngineBadge("echo", "", ""))
PATIENCE_S = 90
NEIGHBOURS = [f"neighbour {n}" for n in range(100)]
POISONS = ["SIGSEGV", "SIGABRT", "SIGKILL", "exit 0", "exit 1", "garbage"]


class Company:
    """The inner half of a device: a ledger, and an engine that dies of some prompts."""

    def __init__(self, path: Path) -> None:
        self._news = threading.Condition()
        self.ledger = Ledger(path, Capacity(1000, 1 << 20))
        endings = Endings(self.ledger, Meter(), self._notify)
        self.dispatcher = Dispatcher(self.ledger, endings, lambda _: None, self._notify)
        self.supervisor = Supervisor([CANDIDATE], EngineSettings(), self.dispatcher)
        self.dispatcher.supervisor = self.supervisor
        self.deaths: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for name, body in (("dispatcher", self.dispatcher.run), ("supervisor", self.supervisor.run)):
            self._threads.append(spawn(name, body, lambda _, error: self.deaths.append(error)))

    def stop(self) -> None:
        self.supervisor.stop()
        self.dispatcher.stop()
        for thread in self._threads:
            thread.join(10)
        self.ledger.close()

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(is_so, PATIENCE_S), (self.outcomes(), self.supervisor.state)

    def outcomes(self) -> dict[str, str]:
        """Return the text or the error code of every prompt that has ended."""
        bodies = [json.loads(letter.publication.payload) for letter in self.ledger.letters(1000)]
        return {
            body["id"]: body["choices"][0]["message"]["content"]
            if "choices" in body
            else body["error"]["code"]
            for body in bodies
        }

    def _notify(self) -> None:
        with self._news:
            self._news.notify_all()


@pytest.fixture
def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Company]:
    make_echo_deadly(monkeypatch)
    monkeypatch.setattr("agent.worker.supervisor.LONGEST_WAIT_S", 0.01)
    monkeypatch.setattr("agent.worker.breaker.MOST_DEATHS", 1000)
    company = Company(tmp_path / "ledger.db")
    yield company
    company.stop()
    assert company.deaths == []


def test_poison_ends_after_three_attempts_and_every_neighbour_is_answered(company: Company) -> None:
    names = NEIGHBOURS.copy()
    for at, poison in enumerate(POISONS):
        names.insert(at * 17, poison)
    for name in names:
        take(company.ledger, prompt(name))

    company.start()
    company.wait_for(lambda: len(company.outcomes()) == len(names))

    outcomes = company.outcomes()
    assert {name: outcomes[name] for name in NEIGHBOURS} == {name: name for name in NEIGHBOURS}
    assert {outcomes[name] for name in POISONS} <= {"engine_crashed", "out_of_memory"}
    assert company.supervisor.state.restarts.total() == 3 * len(POISONS)


@pytest.mark.parametrize(
    ("poison", "cause"),
    [("hang", "hang while it read a prompt"), ("hang between tokens", "hang between tokens")],
)
def test_a_prompt_on_which_the_engine_hangs_ends_after_three_attempts(
    company: Company, monkeypatch: pytest.MonkeyPatch, poison: str, cause: str
) -> None:
    monkeypatch.setattr("agent.flow.patience.FIRST_TOKEN_S", 0.5)
    monkeypatch.setattr("agent.flow.patience.NEXT_TOKEN_S", 0.5)
    for name in ("before", poison, "after"):
        take(company.ledger, prompt(name))

    company.start()
    company.wait_for(lambda: len(company.outcomes()) == 3)

    assert company.outcomes() == {"before": "before", poison: "engine_crashed", "after": "after"}
    assert company.supervisor.state.restarts.total() == 3
    assert company.supervisor.state.restarts[cause] >= 2
