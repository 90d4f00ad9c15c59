"""What a step costs, learned while it runs."""

import pytest

from agent.engines.options import Speeds
from agent.engines.pace import CHUNK_FIRST, CHUNK_MAX, CHUNK_MIN, Pace

MEASURED = Speeds(400.0, ((1, 10.0), (2, 14.0), (4, 20.0), (8, 40.0)))


def test_between_two_measurements_a_step_costs_what_lies_between() -> None:
    pace = Pace(MEASURED)

    times_ms = [pace.step_ms(rows) for rows in (1, 3, 6, 8)]

    assert times_ms == [10.0, 17.0, 30.0, 40.0]


def test_beyond_the_measurements_a_step_costs_more_with_every_row() -> None:
    pace = Pace(MEASURED)

    assert pace.step_ms(16) > pace.step_ms(12) > 40.0


def test_a_step_that_became_slower_counts_little_by_little() -> None:
    pace = Pace(MEASURED)

    pace.note(rows=1, read=0, took_ms=20.0)

    assert pace.step_ms(1) == pytest.approx(12.0)


@pytest.mark.parametrize(("tokens", "pays"), [(1, False), (7, False), (12, True)])
def test_a_pass_of_its_own_pays_for_many_tokens_only(tokens: int, pays: bool) -> None:  # noqa: FBT001 -- a case
    pace = Pace(Speeds(400.0, ((1, 10.0), (8, 24.0), (16, 36.0))))

    assert pace.pays_apart(tokens, rows=8) is pays


def test_the_first_chunk_comes_before_any_measurement() -> None:
    pace = Pace(None)

    assert pace.chunk_tokens() == CHUNK_FIRST


@pytest.mark.parametrize(("tokens_per_s", "chunk"), [(1.0, CHUNK_MIN), (1e6, CHUNK_MAX)])
def test_a_chunk_is_neither_too_small_nor_too_large(tokens_per_s: float, chunk: int) -> None:
    pace = Pace(Speeds(tokens_per_s, ((1, 1.0),)))

    assert pace.chunk_tokens() == chunk


def test_the_speed_of_reading_is_learned_from_chunks() -> None:
    pace = Pace(MEASURED)

    for _ in range(50):
        pace.note(rows=0, read=100, took_ms=2000.0)

    assert pace.chunk_tokens() == pytest.approx(CHUNK_MIN, abs=1)
