"""When a certificate is renewed, and what is wrong with its dates."""

import datetime as dt
import math

import pytest

from agent.identity.lifetime import JITTER, LATEST, Lifetime

BEGIN = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
LENGTH = dt.timedelta(days=100)
RENEW_AT = 0.67


def lifetime(serial_number: int = 1) -> Lifetime:
    return Lifetime(BEGIN, BEGIN + LENGTH, serial_number)


def after(days: float) -> dt.datetime:
    """Return a moment so long after the beginning."""
    return BEGIN + dt.timedelta(days=days)


def test_a_fleet_of_one_minute_renews_within_a_tenth_of_the_life() -> None:
    shares = [(lifetime(number).due(RENEW_AT) - BEGIN) / LENGTH for number in range(1000)]

    assert (min(shares), max(shares)) == pytest.approx((RENEW_AT - JITTER, RENEW_AT + JITTER), abs=0.001)


def test_a_box_that_starts_again_renews_at_the_same_moment_as_before() -> None:
    assert lifetime(17).due(RENEW_AT) == lifetime(17).due(RENEW_AT)


def test_a_certificate_is_renewed_before_it_is_over_whatever_the_settings_say() -> None:
    dues = [lifetime(number).due(1.0) for number in range(100)]

    assert max(dues) == BEGIN + LENGTH * LATEST


@pytest.mark.parametrize(("days", "is_over"), [(99.9, False), (100, True), (101, True)])
def test_a_certificate_is_over_when_its_last_moment_is_there(days: float, is_over: bool) -> None:  # noqa: FBT001 -- a column of the table
    assert lifetime().is_over(after(days)) is is_over


@pytest.mark.parametrize(("days", "left"), [(0, 100), (99.5, 0.5), (102, -2)])
def test_the_days_left_go_below_zero(days: float, left: float) -> None:
    assert lifetime().days_left(after(days)) == pytest.approx(left)


def test_the_nearer_the_end_the_shorter_the_rests_and_never_none() -> None:
    rests_s = [lifetime().longest_rest_s(after(days)) for days in (50, 90, 99.9999)]

    assert rests_s == [5 * 86_400, 86_400, 1.0]


def test_what_is_over_is_in_no_hurry() -> None:
    assert lifetime().longest_rest_s(after(100)) == math.inf


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (-1, "says 2026-02-28 00:00 UTC, but its certificate begins 2026-03-01 00:00; set the clock"),
        (0, ""),
        (89, ""),
        (95, "good for 5.0 more days, and was not renewed"),
        (101, "over since 2026-06-09 00:00 UTC; enrol this box again"),
    ],
)
def test_an_operator_is_told_what_is_wrong_with_the_dates(days: float, words: str) -> None:
    trouble = lifetime().trouble(after(days))

    assert words in trouble
    assert bool(words) == bool(trouble)
