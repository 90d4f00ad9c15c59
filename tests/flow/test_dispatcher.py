"""The dispatcher: who runs when, and one ending for everybody."""

import pytest

from agent.flow import dispatcher as rules
from agent.flow.dispatcher import Dispatcher
from agent.flow.endings import Endings
from agent.flow.ledger import Ledger
from agent.flow.meter import Meter
from agent.wire.errors import QueueFull
from agent.wire.prompt import Cancel, ReplyTo
from agent.worker.death import Death
from agent.worker.frames import Cancel as CancelFrame
from flow.prompts import claimed, prompt, take
from flow.stage import Stage

CRASH = Death("SIGSEGV")


def test_slots_are_filled_by_priority(ledger: Ledger, stage: Stage) -> None:
    take(ledger, prompt("b", "batch"))
    take(ledger, prompt("n"))
    take(ledger, prompt("i", "interactive"))

    stage.up(slots=2)

    assert stage.started(2) == ["i", "n"]


def test_a_free_slot_serves_the_next(ledger: Ledger, stage: Stage) -> None:
    take(ledger, prompt("a"))
    take(ledger, prompt("b"))
    stage.up(slots=1)
    stage.started(1)

    stage.finish()

    assert stage.started(2) == ["a", "b"]


def test_an_answer_is_what_progress_and_the_end_brought(ledger: Ledger, stage: Stage) -> None:
    take(ledger, prompt("a", stream=True))
    stage.up(slots=1)
    stage.started(1)

    stage.say("hel")
    stage.finish(text="lo")

    assert stage.endings(1) == {"a": "hello"}
    assert [dict(chunk.properties)["sequence"] for chunk in stage.chunks] == ["0", "1"]


def test_a_prompt_whose_time_is_over_is_never_started(ledger: Ledger, stage: Stage) -> None:
    take(ledger, prompt("late", timeout_s=0))

    stage.up(slots=1)

    assert stage.endings(1) == {"late": "expired"}
    assert stage.frames == []


def test_a_prompt_whose_time_ends_while_it_runs_is_timed_out_and_stopped(
    ledger: Ledger, stage: Stage
) -> None:
    take(ledger, prompt("slow", timeout_s=0.3))
    stage.up(slots=1)
    stage.started(1)

    outcome = stage.endings(1)

    assert outcome == {"slow": "timeout"}
    stage.wait_for(lambda: any(isinstance(frame, CancelFrame) for frame in stage.frames))


def test_a_waiting_prompt_is_cancelled_without_the_engine(ledger: Ledger, stage: Stage) -> None:
    take(ledger, prompt("a"))

    stage.dispatcher.cancel(Cancel("a", ReplyTo("")))

    assert stage.endings(1) == {"a": "cancelled"}
    assert stage.frames == []


def test_a_cancelled_prompt_ends_once_even_when_its_answer_comes_late(ledger: Ledger, stage: Stage) -> None:
    take(ledger, prompt("a"))
    take(ledger, prompt("b"))
    stage.up(slots=1)
    stage.started(1)
    stage.dispatcher.cancel(Cancel("a", ReplyTo("")))
    stage.endings(1)

    stage.finish(text="too late")

    assert stage.started(2) == ["a", "b"]
    assert stage.endings(1) == {"a": "cancelled"}


def test_the_slot_of_a_cancelled_prompt_is_held_until_the_worker_lets_go(
    ledger: Ledger, stage: Stage
) -> None:
    take(ledger, prompt("a"))
    take(ledger, prompt("b"))
    stage.up(slots=1)
    stage.started(1)

    stage.dispatcher.cancel(Cancel("a", ReplyTo("")))

    stage.endings(1)
    assert stage.started(1) == ["a"]


def test_what_the_engine_refuses_is_answered_with_its_code(ledger: Ledger, stage: Stage) -> None:
    take(ledger, prompt("a"))
    stage.up(slots=1)
    stage.started(1)

    stage.refuse("context_length_exceeded")

    assert stage.endings(1) == {"a": "context_length_exceeded"}


def test_a_poison_prompt_ends_after_three_attempts_and_its_neighbour_is_answered(
    ledger: Ledger, stage: Stage
) -> None:
    take(ledger, prompt("poison"))
    take(ledger, prompt("neighbour"))
    stage.up(slots=2)
    stage.started(2)

    for count in (3, 4):
        stage.dispatcher.engine_down(CRASH)
        stage.up(slots=2)
        stage.started(count)
    stage.dispatcher.engine_down(CRASH)
    stage.up(slots=2)
    stage.started(5)
    stage.finish(text="hello")

    assert stage.endings(2) == {"poison": "engine_crashed", "neighbour": "hello"}
    assert stage.started(5) == ["poison", "neighbour", "poison", "poison", "neighbour"]


def test_the_third_death_for_want_of_memory_says_so(ledger: Ledger, stage: Stage) -> None:
    take(ledger, prompt("huge"))

    for count in (1, 2, 3):
        stage.up(slots=1)
        stage.started(count)
        stage.dispatcher.engine_down(Death("SIGKILL", is_out_of_memory=True))

    assert stage.endings(1) == {"huge": "out_of_memory"}


def test_a_prompt_too_large_for_the_worker_is_refused_and_the_next_one_runs(
    ledger: Ledger, stage: Stage
) -> None:
    stage.too_large = "huge"
    take(ledger, prompt("huge"))
    take(ledger, prompt("next"))

    stage.up(slots=1)

    assert stage.started(1) == ["next"]
    assert stage.endings(1) == {"huge": "payload_too_large"}


def test_a_drained_dispatcher_starts_nothing_and_says_so(ledger: Ledger, stage: Stage) -> None:
    has_drained = stage.dispatcher.drain(0)

    obstacle = stage.dispatcher.obstacle()

    assert has_drained
    assert obstacle is not None
    assert obstacle.code == "stopping"
    assert ledger.depth().running == 0


def test_what_ran_when_the_agent_stopped_waits_again_unblamed(ledger: Ledger, stage: Stage) -> None:
    take(ledger, prompt("a"))
    stage.up(slots=1)
    stage.started(1)
    stage.stop()

    stage.dispatcher.requeue()

    entry = ledger.next_waiting()
    assert entry is not None
    assert entry.attempts == 0


def test_a_prompt_that_has_used_up_its_attempts_in_earlier_lives_is_not_tried_again(
    ledger: Ledger, stage: Stage
) -> None:
    take(ledger, prompt("deadly"))
    for _ in range(3):
        ledger.release(claimed(ledger).number, is_blamed=True)

    stage.up(slots=1)

    assert stage.endings(1) == {"deadly": "engine_crashed"}
    assert stage.frames == []


def test_too_many_cancellations_are_refused_and_hold_nobody_up(ledger: Ledger) -> None:
    endings = Endings(ledger, Meter(), lambda: None)
    dispatcher = Dispatcher(ledger, endings, lambda _: None, lambda: None)  # its thread does not run
    wish = Cancel("nobody", ReplyTo(""))
    for _ in range(rules.MAX_EVENTS):
        dispatcher.cancel(wish)

    with pytest.raises(QueueFull) as caught:
        dispatcher.cancel(wish)

    assert caught.value.retry_after_ms
