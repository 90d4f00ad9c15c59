"""The ledger against a model of itself, under every order of events that hypothesis can think of.

`LEDGER_EXAMPLES=2000 make test TESTS=tests/flow/test_ledger_machine.py` is the long run.
"""

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.flow import storage
from agent.flow.ledger import Capacity, Ledger
from agent.flow.pruning import Retention
from agent.wire.errors import QueueFull
from flow.prompts import answer, digest, prompt

CAPACITY = 4
EXAMPLES, STEPS = int(os.environ.get("LEDGER_EXAMPLES", "60")), 50
NAMES = st.sampled_from("abcdefgh")


@dataclass(slots=True)
class Known:
    """What the requester of one prompt may rely on."""

    state: str = "waiting"
    attempts: int = 0
    contents: set[bytes] = field(default_factory=set)
    """Every content that was ever handed out for it."""


class LedgerMachine(RuleBasedStateMachine):
    """Delivers, repeats, crashes, confirms and forgets."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="ledger-")
        self._path = Path(self._folder.name) / "ledger.db"
        self._ledger = Ledger(self._path, Capacity(CAPACITY, 1 << 20))
        self._known: dict[str, Known] = {}
        self._refusals = 0
        self._births = 1
        self._written = 0

    def teardown(self) -> None:
        self._ledger.close()
        self._folder.cleanup()

    @rule(name=NAMES)
    def deliver(self, name: str) -> None:
        waiting = sum(known.state == "waiting" for known in self._known.values())
        known = self._known.get(name)
        try:
            reception = self._ledger.accept(prompt(name), digest(name))
        except QueueFull:
            assert known is None
            assert waiting >= CAPACITY
            return
        if known is None:
            assert reception == "new"
            self._known[name] = Known()
        elif known.state in ("waiting", "running"):
            assert reception == "duplicate"
        else:
            assert reception == "answered"
            known.state = "unsent"

    @rule(name=NAMES)
    def deliver_another_payload(self, name: str) -> None:
        if name in self._known:
            assert self._ledger.accept(prompt(name), digest(f"another {name}")) == "conflict"

    @rule()
    def claim(self) -> None:
        entry = self._ledger.next_waiting()
        if entry is None:
            assert not self._in("waiting")
            return
        self._ledger.claim(entry.number)
        known = self._known[entry.prompt.id]
        assert (known.state, known.attempts) == ("waiting", entry.attempts)
        known.state, known.attempts = "running", known.attempts + 1

    @precondition(lambda self: self._in("running"))
    @rule(is_blamed=st.booleans())
    def release(self, *, is_blamed: bool) -> None:
        name = self._in("running")[0]
        self._ledger.release(self._number(name), is_blamed=is_blamed)
        self._known[name].state = "waiting"
        self._known[name].attempts -= not is_blamed

    @precondition(lambda self: self._in("running", "waiting"))
    @rule()
    def end(self) -> None:
        name = self._in("running", "waiting")[0]
        self._written += 1
        assert self._ledger.finish(self._number(name), answer(f"answer {self._written}"))
        self._known[name].state = "unsent"

    @precondition(lambda self: self._in("unsent", "sent", "parked"))
    @rule()
    def end_again(self) -> None:
        name = self._in("unsent", "sent", "parked")[0]
        assert not self._ledger.finish(self._number(name), answer("another answer"))

    @rule()
    def refuse(self) -> None:
        self._ledger.refuse(answer("refused"), 60)
        self._refusals += 1

    @rule()
    def confirm(self) -> None:
        for letter in self._ledger.letters(1):
            self._ledger.delivered(letter.number)
            self._note(letter.number, letter.publication.payload, "sent")

    @rule()
    def set_aside(self) -> None:
        for letter in self._ledger.letters(1):
            self._ledger.park(letter.number)
            self._note(letter.number, None, "parked")

    @rule()
    def retry(self) -> None:
        self._ledger.retry_parked()
        self._unpark()

    @rule()
    def crash(self) -> None:
        self._ledger.close()
        self._ledger = Ledger(self._path, Capacity(CAPACITY, 1 << 20))
        self._births += 1
        assert self._ledger.birth == self._births
        for known in self._known.values():
            known.state = "waiting" if known.state == "running" else known.state
        self._unpark()

    @rule()
    def prune(self) -> None:
        forgotten = self._ledger.prune(Retention(age_s=-1))
        assert forgotten == len(self._in("sent"))
        for name in self._in("sent"):
            del self._known[name]

    @invariant()
    def every_acknowledged_prompt_is_there_once(self) -> None:
        depth = self._ledger.depth()
        assert depth.waiting == len(self._in("waiting"))
        assert depth.running == len(self._in("running"))

    @invariant()
    def nobody_has_two_contents(self) -> None:
        assert all(len(known.contents) <= 1 for known in self._known.values())

    def _in(self, *states: str) -> list[str]:
        return [name for name, known in self._known.items() if known.state in states]

    def _number(self, name: str) -> int:
        ((number,),) = self._ledger._storage.fetch("SELECT number FROM prompt WHERE id = ?", name)
        return int(number)

    def _note(self, letter: int, content: bytes | None, state: str) -> None:
        """Find whose letter it was; a refusal is nobody's."""
        query = "SELECT id FROM prompt WHERE number = (SELECT prompt FROM answer WHERE number = ?)"
        for (name,) in self._ledger._storage.fetch(query, letter):
            self._known[name].state = state
            self._known[name].contents |= {content} if content else set()

    def _unpark(self) -> None:
        for name in self._in("parked"):
            self._known[name].state = "unsent"


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the log without syncing: what a power cut does is tested elsewhere."""
    monkeypatch.setattr(storage, "FULL", "OFF")


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
