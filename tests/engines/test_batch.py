"""The step loop, with an engine that notes what it is fed: echo answers with the bytes of the prompt."""

from collections.abc import Sequence

import pytest

from agent.engines.batch import Batch
from agent.engines.contract import Feed, Logits
from agent.engines.echo import Echo
from agent.engines.options import EngineOptions, Speeds
from agent.engines.pace import Pace
from agent.engines.sequence import Request
from agent.wire.errors import InvalidField
from agent.wire.grammar import regex_grammar
from agent.wire.prompt import Sampling
from engines.running import CONTEXT, finish

CHUNK = 64


class NotingEcho(Echo):
    """Remembers the feeds of every step and the slots it was told to empty."""

    def __init__(self, slots: int) -> None:
        super().__init__(EngineOptions("echo", None, threads=1, slots=slots, context_length=CONTEXT * 4))
        self.steps: list[list[Feed]] = []
        self.emptied: list[int] = []

    def forward(self, feeds: Sequence[Feed]) -> list[Logits]:
        self.steps.append(list(feeds))
        return super().forward(feeds)

    def truncate(self, slot: int, length: int) -> None:
        self.emptied += [slot] if not length and self.fed(slot) else []
        super().truncate(slot, length)

    def fed(self, slot: int) -> int:
        return sum(len(feed.tokens) for feeds in self.steps for feed in feeds if feed.slot == slot)

    def sizes(self) -> list[dict[int, int]]:
        """Tokens fed to each slot, step by step."""
        return [{feed.slot: len(feed.tokens) for feed in feeds} for feeds in self.steps]


class PassingEcho(NotingEcho):
    """Needs a pass of its own for several tokens of one sequence, like llama.cpp and ONNX."""

    is_one_pass = False


class SteadyPace(Pace):
    """Chunks of one size, and rows so dear that nothing is guessed."""

    def __init__(self) -> None:
        super().__init__(Speeds(1.0, ((1, 1.0), (100, 100.0))))

    def note(self, *, rows: int, read: int, took_ms: float) -> None:
        """Learn nothing."""

    def chunk_tokens(self) -> int:
        return CHUNK


@pytest.fixture
def engine() -> NotingEcho:
    return NotingEcho(slots=3)


@pytest.fixture
def batch(engine: NotingEcho) -> Batch:
    return Batch(engine, SteadyPace())


def asking(text: str, max_tokens: int | None = None, stop: tuple[str, ...] = ()) -> Request:
    return request_for(text, text, max_tokens, stop)


def request_for(name: str, text: str, max_tokens: int | None = None, stop: tuple[str, ...] = ()) -> Request:
    return Request(name, tuple(text.encode()), max_tokens, Sampling(), stop)


def test_everybody_advances_by_one_token_in_every_step(batch: Batch) -> None:
    for text in ("aaa", "bbb", "ccc"):
        batch.admit(asking(text))

    steps = batch.step(), batch.step()

    assert [[(step.id, step.tokens) for step in one] for one in steps] == [
        [("aaa", 1), ("bbb", 1), ("ccc", 1)],
        [("aaa", 2), ("bbb", 2), ("ccc", 2)],
    ]


def test_a_sequence_takes_the_lowest_free_slot(engine: NotingEcho, batch: Batch) -> None:
    for text in ("aaa", "bbb", "ccc"):
        batch.admit(asking(text))
    batch.cancel("bbb")
    batch.cancel("aaa")

    batch.admit(asking("ddd"))
    batch.step()

    assert {feed.slot: bytes(feed.tokens) for feed in engine.steps[-1]} == {2: b"ccc", 0: b"ddd"}


def test_a_slot_is_emptied_when_its_sequence_leaves(engine: NotingEcho, batch: Batch) -> None:
    batch.admit(asking("a"))

    finish(batch)

    assert engine.emptied == [0]


def test_prompts_share_one_chunk_in_the_order_of_admission(engine: NotingEcho, batch: Batch) -> None:
    for name, size in (("a", CHUNK - 6), ("b", 10), ("c", 10)):
        batch.admit(request_for(name, name * size))

    batch.step()
    batch.step()

    assert engine.sizes() == [{0: CHUNK - 6, 1: 6}, {0: 1, 1: 4, 2: 10}]


def test_a_long_prompt_does_not_stop_the_others(engine: NotingEcho, batch: Batch) -> None:
    batch.admit(asking("abc"))
    batch.step()
    batch.admit(request_for("long", "x" * (2 * CHUNK + 5)))

    steps = [[step.id for step in batch.step()] for _ in range(3)]

    assert steps == [["abc"], ["abc"], ["abc", "long"]]
    assert engine.sizes()[1:] == [{0: 1, 1: CHUNK}, {0: 1, 1: CHUNK}, {0: 1, 1: 5}]


def test_logits_are_asked_for_only_at_the_end_of_a_prompt(engine: NotingEcho, batch: Batch) -> None:
    batch.admit(request_for("long", "x" * (CHUNK + 1)))

    batch.step()
    batch.step()

    assert [[feed.outputs for feed in feeds] for feeds in engine.steps] == [[0], [1]]


def test_positions_run_on_without_a_gap(engine: NotingEcho, batch: Batch) -> None:
    batch.admit(request_for("long", "x" * (CHUNK + 3), max_tokens=3))

    finish(batch)

    starts = [feed.start for feeds in engine.steps for feed in feeds]
    assert starts == [0, CHUNK, CHUNK + 3, CHUNK + 4]


@pytest.mark.parametrize(("names", "most_at_once"), [(["a"], 6), (["a", "b"], 1)])
def test_forced_tokens_enter_one_by_one_beside_others_where_a_pass_of_their_own_costs_more(
    names: list[str], most_at_once: int
) -> None:
    engine = PassingEcho(slots=3)
    batch = Batch(engine, SteadyPace())
    forced = regex_grammar("abcdef[gh]", "regex")
    for name in names:
        batch.admit(Request(name, tuple(b"?"), 32, Sampling(), grammar=forced))

    texts = finish(batch)

    assert set(texts.values()) <= {"abcdefg", "abcdefh"}
    assert max(max(sizes.values()) for sizes in engine.sizes()) == most_at_once


def test_an_empty_prompt_is_refused_and_takes_no_slot(batch: Batch) -> None:
    with pytest.raises(InvalidField, match="no token"):
        batch.admit(asking(""))

    assert batch.is_idle


def test_the_batch_is_full_when_every_slot_is_taken(batch: Batch) -> None:
    before = batch.is_full

    for text in ("a", "b", "c"):
        batch.admit(asking(text))

    assert (before, batch.is_full) == (False, True)
