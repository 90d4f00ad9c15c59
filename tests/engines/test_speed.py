"""The measurement of a loaded engine: what it feeds, what it returns, and that it ends."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from agent.engines import speed
from agent.engines.contract import Engine, Feed, Logits
from agent.engines.options import EngineFacts, Speeds
from agent.engines.speed import measure
from engines.running import SLOTS

SIZES = (1, 2, 4, 8)


class Clock:
    """A clock that only the engine moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s


class Slow:
    """An engine whose forward pass takes a known time: so much a token, and so much a pass."""

    end_tokens = frozenset(range(200))

    def __init__(self, clock: Clock, *, token_s: float, pass_s: float, slots: int = 8) -> None:
        self.facts = EngineFacts("cpu", "slow", slots, 512, 1, 256)
        self.fed: list[list[Feed]] = []
        self.lengths = [0] * slots
        self._clock, self._token_s, self._pass_s = clock, token_s, pass_s

    def forward(self, feeds: Sequence[Feed]) -> list[Logits]:
        self.fed.append(list(feeds))
        for feed in feeds:
            assert feed.start == self.lengths[feed.slot]
            self.lengths[feed.slot] += len(feed.tokens)
            assert self.lengths[feed.slot] <= self.facts.context_length
        self._clock.now_s += self._pass_s + self._token_s * sum(len(feed.tokens) for feed in feeds)
        return [np.zeros((feed.outputs, 256), dtype=np.float32) for feed in feeds]

    def truncate(self, slot: int, length: int) -> None:
        self.lengths[slot] = min(self.lengths[slot], length)


SlowEngine = Callable[..., Slow]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowEngine:
    """Return a function that builds an engine of which every pass takes a known time."""
    clock = Clock()
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    return lambda **figures: Slow(clock, **figures)


@pytest.fixture
def one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a measurement be as short as it can be."""
    monkeypatch.setattr(speed, "ROUNDS_BUDGET_S", 0.001)


def measured(engine: Slow) -> speed.Measurement:
    return measure(engine)  # type: ignore[arg-type]  # it has all that a measurement needs of an engine


@pytest.mark.usefixtures("one_round")
def test_a_real_engine_is_measured_at_every_number_of_sequences_it_has_slots_for(any_engine: Engine) -> None:
    found = measure(any_engine).speeds

    assert [sequences for sequences, _ in found.step_ms] == [size for size in SIZES if size <= SLOTS]
    assert found.prefill_tokens_per_s > 0
    assert all(step_ms > 0 for _, step_ms in found.step_ms)


@pytest.mark.usefixtures("one_round")
def test_an_engine_that_was_measured_answers_as_before(engine: Engine) -> None:
    tokens = engine.text_tokens("The pump is")
    before = engine.forward([Feed(0, tokens, 0, outputs=1)])[0][0].copy()
    engine.truncate(0, 0)

    measure(engine)

    after = engine.forward([Feed(0, tokens, 0, outputs=1)])[0][0]
    assert np.argmax(after) == np.argmax(before)


def test_the_figures_are_those_of_the_engine(slow: SlowEngine) -> None:
    engine = slow(token_s=0.001, pass_s=0.010)

    found = measured(engine)

    assert found.speeds.prefill_tokens_per_s == pytest.approx(128 / (128 * 0.001 + 0.010))
    assert dict(found.speeds.step_ms) == pytest.approx({1: 11.0, 2: 12.0, 4: 14.0, 8: 18.0})
    assert found.notes == ()


def test_decode_is_measured_behind_a_prompt_of_realistic_length(slow: SlowEngine) -> None:
    engine = slow(token_s=0.001, pass_s=0.010)

    measured(engine)

    decodes = [feeds for feeds in engine.fed if all(len(feed.tokens) == 1 for feed in feeds)]
    assert {len(feeds) for feeds in decodes} == set(SIZES)
    assert min(feed.start for feeds in decodes for feed in feeds) == 128


def test_no_end_token_is_ever_fed(slow: SlowEngine) -> None:
    engine = slow(token_s=0.001, pass_s=0.010)

    measured(engine)

    tokens = {token for feeds in engine.fed for feed in feeds for token in feed.tokens}
    assert tokens.isdisjoint(engine.end_tokens)
    assert len(tokens) > 20


def test_the_slots_are_empty_afterwards(slow: SlowEngine) -> None:
    engine = slow(token_s=0.001, pass_s=0.010)

    measured(engine)

    assert engine.lengths == [0] * 8


def test_an_engine_with_three_slots_is_measured_at_one_and_two(slow: SlowEngine) -> None:
    engine = slow(token_s=0.001, pass_s=0.010, slots=3)

    found = measured(engine).speeds

    assert [sequences for sequences, _ in found.step_ms] == [1, 2]


def test_a_huge_model_is_measured_in_bounded_time_and_the_shortcuts_are_named(slow: SlowEngine) -> None:
    engine = slow(token_s=0.1, pass_s=2.0)

    found = measured(engine)

    assert engine._clock.now_s < 60
    assert dict(found.speeds.step_ms)[8] == pytest.approx(2800)
    assert "instead of 128 prompt tokens" in found.notes[0]
    assert "instead of 16 steps" in found.notes[1]


def test_a_box_that_is_busy_with_other_work_is_named(slow: SlowEngine) -> None:
    engine = slow(token_s=0.001, pass_s=0.010)
    forward, clock = engine.forward, engine._clock

    def disturbed(feeds: Sequence[Feed]) -> list[Logits]:
        clock.now_s += 0.05 * (len(engine.fed) % 2)
        return forward(feeds)

    engine.forward = disturbed  # type: ignore[method-assign]  # the disturbance is the arrangement
    found = measured(engine)

    assert found.notes == (
        "the steps took very different times: measure again when nothing else runs on this box",
    )


def test_the_share_that_is_done_grows_to_one(slow: SlowEngine) -> None:
    engine, shares = slow(token_s=0.001, pass_s=0.010), list[float]()

    measure(engine, shares.append)  # type: ignore[arg-type]  # as above

    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize(
    ("sequences", "step_ms", "rate"), [(1, 10.0, 100.0), (3, 20.0, 150.0), (8, 20.0, 200.0)]
)
def test_between_and_beyond_what_was_measured_the_nearest_larger_or_largest_number_holds(
    sequences: int, step_ms: float, rate: float
) -> None:
    speeds = Speeds(100.0, ((1, 10.0), (4, 20.0)))

    found = speeds.step_ms_with(sequences), speeds.decode_tokens_per_s(sequences)

    assert found == (step_ms, rate)
