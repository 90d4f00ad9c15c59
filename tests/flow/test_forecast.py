"""When a prompt will start and end, as data; and who is refused because that is too late."""

from dataclasses import replace

import pytest

from agent.engines.options import Speeds
from agent.flow.forecast import Forecast, Outlook
from agent.flow.meter import Experience
from agent.wire.prompt import Message, Prompt, ReplyTo

SPEEDS = Speeds(prefill_tokens_per_s=100.0, step_ms=((1, 10.0), (2, 20.0)))
PROMPT = Prompt("a", "chat", ReplyTo("answers"), (Message("user", "x" * 396),), max_tokens=50)
"""100 tokens by its bytes: a second of prefill."""
CALIBRATED = Outlook(slots=2, running=0, speeds=SPEEDS, experience=None)
EXPERIENCED = Outlook(slots=2, running=2, speeds=None, experience=Experience(20, 3000.0, 40.0))


def test_a_calibrated_idle_device_predicts_start_and_end_of_its_first_prompt() -> None:
    outlook = CALIBRATED

    found = outlook.forecast(PROMPT, ahead=0)

    assert found == Forecast(start_ms=0, finish_ms=1000 + 50 * 10)


def test_company_makes_the_steps_longer() -> None:
    outlook = replace(CALIBRATED, running=1)

    found = outlook.forecast(PROMPT, ahead=0)

    assert found == Forecast(start_ms=0, finish_ms=1000 + 50 * 20)


def test_whoever_waits_is_taken_for_a_prompt_like_this_one_until_there_is_experience() -> None:
    outlook = replace(CALIBRATED, running=2)

    found = outlook.forecast(PROMPT, ahead=3)

    assert found == Forecast(start_ms=4 * 2000 // 2, finish_ms=4 * 2000 // 2 + 2000)


def test_experience_tells_how_long_the_others_take() -> None:
    outlook = EXPERIENCED

    found = outlook.forecast(PROMPT, ahead=1)

    assert found == Forecast(start_ms=2 * 3000 // 2, finish_ms=2 * 3000 // 2 + 3000)


def test_an_answer_is_expected_to_be_as_long_as_the_last_ones_if_more_is_allowed() -> None:
    outlook = replace(CALIBRATED, experience=Experience(20, 3000.0, 40.0))

    found = outlook.forecast(replace(PROMPT, max_tokens=4000), ahead=0)

    assert found == Forecast(start_ms=0, finish_ms=1000 + 40 * 10)


@pytest.mark.parametrize(
    ("outlook", "ahead", "expected"),
    [
        (Outlook(2, 0, None, None), 0, Forecast(0, None)),
        (Outlook(2, 2, None, None), 0, Forecast(None, None)),
        (Outlook(0, 0, SPEEDS, Experience(20, 3000.0, 40.0)), 0, Forecast(None, None)),
    ],
    ids=["a free slot and nothing known", "no free slot and nothing known", "no engine"],
)
def test_what_nobody_knows_is_not_predicted(outlook: Outlook, ahead: int, expected: Forecast) -> None:
    prompt = PROMPT

    found = outlook.forecast(prompt, ahead)

    assert found == expected


@pytest.mark.parametrize(
    ("outlook", "ahead", "timeout_s", "expected"),
    [
        (EXPERIENCED, 9, 7.0, 8000),
        (EXPERIENCED, 9, 8.0, None),
        (EXPERIENCED, 0, 0.1, None),
        (replace(EXPERIENCED, experience=Experience(7, 3000.0, 40.0)), 9, 1.0, None),
        (replace(CALIBRATED, running=2), 9, 4.0, 6000),
        (replace(EXPERIENCED, slots=0), 9, 1.0, None),
        (replace(EXPERIENCED, experience=Experience(20, 100.0, 40.0)), 1, 0.04, 1000),
    ],
    ids=[
        "twice too late",
        "late, but guesses are rough",
        "nobody waits",
        "too few answers to know",
        "calibrated",
        "no engine",
        "never asked again in less than a second",
    ],
)
def test_only_who_is_surely_too_late_is_sent_away(
    outlook: Outlook, ahead: int, timeout_s: float, expected: int | None
) -> None:
    prompt = replace(PROMPT, timeout_s=timeout_s)

    found = outlook.retry_after_ms(prompt, ahead)

    assert found == expected
