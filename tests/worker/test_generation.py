"""The worker's loop with the echo engine, without a process around it."""

import queue

import pytest

from agent.engines.echo import open_engine
from agent.worker.frames import Alive, Finished, FromWorker, Progress, ToWorker
from agent.worker.generation import Generation
from worker.watching import asking, candidate


def said(*frames: ToWorker) -> list[FromWorker]:
    """Return what the loop says to these frames, until nobody asks any more."""
    options = candidate("echo").options
    asked: queue.Queue[ToWorker | None] = queue.Queue()
    for frame in frames:
        asked.put(frame)
    heard: list[FromWorker] = []

    def hear(frame: FromWorker) -> None:
        heard.append(frame)
        if isinstance(frame, Finished):
            asked.put(None)

    Generation(open_engine(options), options, asked, hear).run()
    return heard


def test_a_step_with_nothing_to_say_is_a_sign_of_life_when_it_is_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.worker.generation.ALIVE_S", 0.0)
    monkeypatch.setattr("agent.worker.generation.GATHER_S", 60.0)

    frames = said(asking("a", "x" * 10))

    assert [frame for frame in frames if isinstance(frame, Progress)] == [Progress("a", "x", 1)]
    assert sum(isinstance(frame, Alive) for frame in frames) > 5


def test_who_has_just_spoken_gives_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.worker.generation.ALIVE_S", 60.0)

    frames = said(asking("a", "x" * 10))

    assert not any(isinstance(frame, Alive) for frame in frames)


def test_the_first_token_is_told_at_once_though_it_is_no_whole_character() -> None:
    frames = said(asking("a", "é"))

    assert frames[0] == Progress("a", "", 1)
