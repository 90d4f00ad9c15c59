"""Proof of life, with a clock of our own."""

from agent.host.pulse import Pulse, spawn


def test_a_loop_that_beats_is_never_late() -> None:
    now_s = 0.0
    pulse = Pulse(lambda: now_s)
    beat = pulse.watch("network", 10)

    for _ in range(3):
        now_s += 9.0
        beat()

    assert pulse.late() == []


def test_a_loop_that_stands_still_is_late_after_its_limit() -> None:
    now_s = 0.0
    pulse = Pulse(lambda: now_s)
    pulse.watch("network", 10)
    pulse.watch("publisher", 30)

    now_s = 10.1

    assert pulse.late() == ["network"]


def test_a_late_loop_that_beats_again_is_forgiven() -> None:
    now_s = 0.0
    pulse = Pulse(lambda: now_s)
    beat = pulse.watch("network", 10)
    now_s = 100.0

    beat()

    assert pulse.late() == []


def test_a_thread_that_dies_is_reported_by_its_name() -> None:
    deaths: list[tuple[str, str]] = []

    def die() -> None:
        raise ValueError("no more")

    thread = spawn("doomed", die, lambda name, error: deaths.append((name, str(error))))

    thread.join(5)
    assert deaths == [("doomed", "no more")]


def test_a_thread_that_ends_by_itself_is_no_death() -> None:
    deaths: list[str] = []

    thread = spawn("done", lambda: None, lambda name, _: deaths.append(name))

    thread.join(5)
    assert (thread.name, deaths) == ("done", [])
