"""When something is tried no more; no worker takes part, and the clock is the test's own."""

from pathlib import Path

import pytest
from rig.clock import Clock

from agent.worker.breaker import MOST_DEATHS, MOST_FALLS, STEADY_S, WINDOW_S, Breaker
from agent.worker.death import Death
from worker.watching import candidate

CRASH = Death("SIGSEGV while it loaded")
BAD, GOOD = candidate("echo", Path("bad")), candidate("echo", Path("good"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def fall(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.fell(BAD, CRASH)


def test_a_candidate_that_died_less_often_is_tried_again(breaker: Breaker) -> None:
    fall(breaker, MOST_FALLS - 1)

    admitted = breaker.admit([BAD, GOOD])

    assert admitted == [BAD, GOOD]
    assert breaker.verdict(BAD) == "SIGSEGV while it loaded"


def test_a_candidate_that_died_too_often_is_left_out_with_its_reason(breaker: Breaker) -> None:
    fall(breaker, MOST_FALLS)

    admitted = breaker.admit([BAD, GOOD])

    assert admitted == [GOOD]
    assert breaker.verdict(BAD).startswith("died 3 times, at last: SIGSEGV while it loaded; left out until")
    assert not breaker.rests()


def test_deaths_before_the_last_proof_are_forgotten(breaker: Breaker) -> None:
    fall(breaker, MOST_FALLS - 1)

    breaker.proved(BAD)
    fall(breaker, 1)

    assert breaker.admit([BAD]) == [BAD]


def test_when_nobody_runs_everybody_is_tried_again_after_a_pause(breaker: Breaker) -> None:
    fall(breaker, MOST_FALLS)

    breaker.all_fell([BAD, GOOD])

    assert breaker.rests()
    assert breaker.admit([BAD, GOOD]) == [BAD, GOOD]
    assert not breaker.rests()


def test_when_all_were_refused_and_nobody_died_there_is_no_pause(breaker: Breaker) -> None:
    breaker.all_fell([BAD, GOOD])

    assert not breaker.rests()


def test_an_engine_that_keeps_dying_rests(breaker: Breaker) -> None:
    deaths = [breaker.died(lived_s=1.0) for _ in range(MOST_DEATHS + 1)]

    assert deaths == [0] * MOST_DEATHS + [MOST_DEATHS + 1]
    assert breaker.rests()


def test_deaths_that_lie_far_apart_are_no_reason_to_rest(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3 * MOST_DEATHS):
        clock.now_s += WINDOW_S / (MOST_DEATHS - 1)
        breaker.died(lived_s=1.0)

    assert not breaker.rests()


def test_after_a_rest_one_more_death_is_enough(breaker: Breaker, clock: Clock) -> None:
    for _ in range(MOST_DEATHS + 1):
        breaker.died(lived_s=1.0)
    clock.now_s += 2 * WINDOW_S
    breaker.admit([GOOD])

    deaths = breaker.died(lived_s=1.0)

    assert deaths == 1
    assert breaker.rests()


def test_an_engine_that_lives_long_after_a_rest_is_trusted_again(breaker: Breaker, clock: Clock) -> None:
    for _ in range(MOST_DEATHS + 1):
        breaker.died(lived_s=1.0)
    breaker.admit([GOOD])
    clock.now_s += 2 * WINDOW_S

    deaths = breaker.died(lived_s=STEADY_S)

    assert deaths == 0
    assert not breaker.rests()
