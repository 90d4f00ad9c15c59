"""Workers that talk nonsense or fall silent, as the dispatcher meets them."""

import threading
from dataclasses import replace

import pytest

from agent.flow.dispatcher import MAX_ANSWER_CHARS, Dispatcher
from agent.flow.endings import Endings
from agent.flow.ledger import Ledger
from agent.flow.meter import Meter
from agent.settings import EngineSettings
from agent.worker.frames import Alive, Finished, FromWorker, Loading, Progress
from agent.worker.supervisor import Supervisor
from flow.prompts import prompt, take
from flow.stage import Stage

BREACHES = [
    pytest.param(Finished("77", "hi", "stop", 1, 1, 1.0, 1.0), id="the answer to a prompt nobody asked"),
    pytest.param(Progress("77", "hi", 1), id="text for a prompt nobody asked"),
    pytest.param(Loading(0.5), id="loads again"),
    pytest.param(Progress("1", "x" * (MAX_ANSWER_CHARS + 1), 1), id="an answer without an end"),
]


@pytest.mark.parametrize("frame", BREACHES)
def test_a_worker_that_says_what_it_cannot_know_is_killed_and_its_prompt_waits_again(
    ledger: Ledger, stage: Stage, frame: FromWorker
) -> None:
    take(ledger, prompt("a"))
    stage.up(slots=1)
    stage.started(1)

    stage.hear(frame)
    stage.wait_for(lambda: stage.killed != [])
    stage.up(slots=1)

    assert stage.started(2) == ["a", "a"]
    assert stage.killed[0].cause == "broke the frame language"


def test_a_second_ending_for_a_prompt_that_has_ended_kills_the_worker(ledger: Ledger, stage: Stage) -> None:
    take(ledger, prompt("a"))
    stage.up(slots=1)
    stage.started(1)

    stage.finish(text="hello")
    stage.finish(text="something else")

    stage.wait_for(lambda: stage.killed != [])
    assert stage.endings(1) == {"a": "hello"}


def test_what_a_condemned_worker_still_says_does_not_count(ledger: Ledger, stage: Stage) -> None:
    take(ledger, prompt("a"))
    stage.up(slots=1)
    stage.started(1)

    stage.hear(Loading(0.5))
    stage.finish(text="a lie")
    stage.wait_for(lambda: stage.killed != [])
    stage.up(slots=1)
    stage.started(2)
    stage.finish(text="the truth")

    assert stage.endings(1) == {"a": "the truth"}


@pytest.mark.parametrize(
    ("has_begun", "cause"),
    [(False, "hang while it read a prompt"), (True, "hang between tokens")],
    ids=["before the first token", "after it"],
)
def test_a_worker_that_falls_silent_is_killed_and_its_prompt_waits_again(
    ledger: Ledger, stage: Stage, monkeypatch: pytest.MonkeyPatch, *, has_begun: bool, cause: str
) -> None:
    take(ledger, prompt("a"))
    stage.up(slots=1)
    stage.started(1)
    if has_begun:
        stage.say("hel")

    monkeypatch.setattr("agent.flow.patience.FIRST_TOKEN_S", 60.0 if has_begun else 0.05)
    monkeypatch.setattr("agent.flow.patience.NEXT_TOKEN_S", 0.05 if has_begun else 60.0)
    stage.wait_for(lambda: stage.killed != [])
    stage.up(slots=1)

    assert stage.started(2) == ["a", "a"]
    assert stage.killed[0].cause == cause


def test_a_quiet_engine_is_in_trouble_until_it_speaks(
    ledger: Ledger, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.flow.patience.SILENT_S", 0.05)
    take(ledger, prompt("a"))
    stage.up(slots=1)
    stage.started(1)

    stage.wait_for(
        lambda: stage.dispatcher.trouble() == "no sign of life from the engine while it read a prompt"
    )
    stage.finish(text="hello")
    stage.endings(1)

    assert stage.dispatcher.trouble() == ""


def test_prompts_wait_while_a_dying_engine_rests_and_new_ones_are_refused(
    ledger: Ledger, stage: Stage
) -> None:
    take(ledger, prompt("patient"))
    take(ledger, prompt("hurried", timeout_s=0.1))
    stage.state = replace(stage.state, phase="failed", reason="6 deaths in a short while, at last: SIGSEGV")

    obstacle = stage.dispatcher.obstacle()

    assert obstacle is not None
    assert obstacle.code == "engine_unavailable"
    assert stage.endings(1) == {"hurried": "expired"}
    assert ledger.depth().waiting == 1


def test_the_supervisor_lives_while_a_dispatcher_that_waits_for_the_disk_takes_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.flow.dispatcher.MAX_EVENTS", 1)
    has_moved = threading.Event()
    dispatcher = Dispatcher(ledger, Endings(ledger, Meter(), print), lambda _: None, print)
    dispatcher.supervisor = Supervisor([], EngineSettings(), dispatcher, beat=has_moved.set)
    dispatcher.engine_frame(Alive())

    waiting = threading.Thread(target=dispatcher.engine_frame, args=(Alive(),))
    waiting.start()

    assert has_moved.wait(10)
    dispatcher._events.get()
    waiting.join(10)
    assert not waiting.is_alive()
