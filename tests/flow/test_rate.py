"""One requester cannot take the whole device."""

from agent.flow import rate as rules
from agent.flow.rate import Rate


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def drained(rate: Rate, requester: str, prompts: int) -> None:
    for _ in range(prompts):
        rate.take(requester)


def test_a_requester_may_send_the_prompts_of_a_minute_at_once() -> None:
    rate = Rate(60, Clock())

    drained(rate, "a", 59)

    assert rate.wait_ms("a") == 0


def test_one_more_has_to_wait_for_as_long_as_one_prompt_takes() -> None:
    rate = Rate(60, Clock())

    drained(rate, "a", 60)

    assert rate.wait_ms("a") == 1000


def test_time_gives_room_again() -> None:
    clock = Clock()
    rate = Rate(60, clock)
    drained(rate, "a", 60)

    clock.now_s += 1

    assert rate.wait_ms("a") == 0


def test_another_requester_does_not_pay_for_it() -> None:
    rate = Rate(60, Clock())

    drained(rate, "a", 60)

    assert rate.wait_ms("b") == 0


def test_without_a_limit_nobody_waits() -> None:
    rate = Rate(0, Clock())

    drained(rate, "a", 1000)

    assert rate.wait_ms("a") == 0


def test_only_so_many_requesters_are_remembered() -> None:
    rate = Rate(60, Clock())

    for number in range(rules.MAX_REQUESTERS + 10):
        rate.take(str(number))

    assert len(rate._buckets) == rules.MAX_REQUESTERS
