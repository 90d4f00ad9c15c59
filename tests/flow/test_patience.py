"""How long the worker may be silent; the clock is the test's own."""

import pytest
from rig.clock import Clock

from agent.flow.entries import Entry
from agent.flow.patience import CHUNK_TOKENS, FIRST_TOKEN_S, NEXT_TOKEN_S, SILENT_S, STEPS, Patience
from agent.flow.running import Running
from flow.prompts import prompt


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patience(clock: Clock) -> Patience:
    return Patience(clock)


def running(*, has_begun: bool) -> Running:
    return Running(Entry(1, prompt("a"), 0, 0.0, 600.0), has_begun=has_begun)


READER, WRITER = running(has_begun=False), running(has_begun=True)


@pytest.mark.parametrize(
    ("prompts", "limit_s", "cause"),
    [
        ([READER], FIRST_TOKEN_S, "hang while it read a prompt"),
        ([WRITER], NEXT_TOKEN_S, "hang between tokens"),
        ([WRITER, READER], FIRST_TOKEN_S, "hang while it read a prompt"),
    ],
    ids=["reads", "writes", "reads and writes"],
)
def test_a_worker_that_is_silent_for_too_long_hangs(
    patience: Patience, clock: Clock, prompts: list[Running], limit_s: float, cause: str
) -> None:
    clock.now_s += limit_s - 1
    early = patience.hang(prompts)
    clock.now_s += 2

    late = patience.hang(prompts)

    assert early is None
    assert late is not None
    assert late.cause == cause


def test_a_sign_of_life_starts_the_clock_anew(patience: Patience, clock: Clock) -> None:
    for _ in range(5):
        clock.now_s += NEXT_TOKEN_S - 1
        patience.hear([READER])

    assert patience.hang([WRITER]) is None


def test_nobody_hangs_while_nothing_runs(patience: Patience, clock: Clock) -> None:
    clock.now_s += 10 * FIRST_TOKEN_S

    assert patience.hang([]) is None
    assert patience.trouble([]) == ""


def test_a_pause_between_prompts_is_not_taken_for_a_long_step(patience: Patience, clock: Clock) -> None:
    clock.now_s += 3600
    patience.hear([])

    assert patience.limit_s(reading=False) == NEXT_TOKEN_S


def test_a_slow_box_gets_the_time_of_ten_steps(patience: Patience, clock: Clock) -> None:
    patience.restart(step_s=6.0)
    clock.now_s += STEPS * 6.0 - 1

    assert patience.hang([WRITER]) is None


def test_a_slow_box_gets_the_time_to_read_a_chunk(patience: Patience) -> None:
    patience.restart(step_s=2.0)

    assert patience.limit_s(reading=True) == CHUNK_TOKENS * 2.0


def test_slow_steps_that_are_seen_lengthen_the_limit_and_fast_ones_shorten_it(
    patience: Patience, clock: Clock
) -> None:
    clock.now_s += 8.0
    patience.hear([WRITER])
    slow_s = patience.limit_s(reading=False)
    for _ in range(100):
        clock.now_s += 0.05
        patience.hear([WRITER])

    assert slow_s == pytest.approx(STEPS * 8.0)
    assert patience.limit_s(reading=False) == NEXT_TOKEN_S


def test_an_engine_is_in_trouble_long_before_it_is_killed(patience: Patience, clock: Clock) -> None:
    clock.now_s += SILENT_S + 1

    assert patience.trouble([WRITER]) == "no sign of life from the engine between tokens"
    assert patience.hang([WRITER]) is None


def test_slow_steps_are_no_trouble_on_a_slow_box(patience: Patience, clock: Clock) -> None:
    patience.restart(step_s=6.0)
    clock.now_s += 12.0

    assert patience.trouble([WRITER]) == ""


def test_a_slot_that_is_not_let_go_is_a_hang_however_alive_the_worker_is(
    patience: Patience, clock: Clock
) -> None:
    cancelled = running(has_begun=True)
    cancelled.ended_s = clock.now_s - FIRST_TOKEN_S - 1
    patience.hear([cancelled])

    death = patience.hang([cancelled])

    assert death is not None
    assert death.cause == "hang after a cancellation"
