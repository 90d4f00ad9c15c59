"""Real worker processes as the agent sees them."""

from collections.abc import Callable

import pytest

from agent.engines.options import EngineOptions
from agent.wire.replies import EngineBadge
from agent.worker.frames import Cancel, Finished, Progress, Refused
from agent.worker.process import Worker, spawn_over_loopback
from agent.worker.start import Candidate, start
from worker.watching import asking, candidate

LONG = 100_000
ROOMY = Candidate(
    EngineOptions("echo", None, 1, slots=2, context_length=3 * LONG), EngineBadge("echo", "", "")
)

StartWorker = Callable[[Candidate], Worker]


def answer(worker: Worker, name: str) -> tuple[str, Finished]:
    """Return the whole text of an answer, from all its frames, and the last of them."""
    text = ""
    while True:
        match worker.channel.receive_from_worker():
            case Progress(id=of, text=piece) if of == name:
                text += piece
            case Finished(id=of, text=piece) as end if of == name:
                return text + piece, end
            case Progress() | Finished():
                continue
            case other:
                raise AssertionError(f"{other} instead of an answer")


def test_a_worker_repeats_a_prompt_with_the_echo_engine(start_worker: StartWorker) -> None:
    worker = start_worker(candidate("echo"))
    worker.channel.send(asking("a", "21 °C 🙂"))

    text, end = answer(worker, "a")

    assert (text, end.finish, end.prompt_tokens, end.tokens) == ("21 °C 🙂", "stop", 11, 11)


def test_a_worker_answers_with_the_demo_model(start_worker: StartWorker) -> None:
    worker = start_worker(candidate("gguf-cpu"))
    worker.channel.send(asking("a", "pump-17 pressure 9.3 bar, limit 8.0 bar. Over the limit?"))

    text, end = answer(worker, "a")

    assert text in {"yes", "no"}
    assert end.finish == "stop"


def test_a_short_prompt_is_answered_beside_a_long_one(start_worker: StartWorker) -> None:
    worker = start_worker(ROOMY)
    worker.channel.send(asking("long", "x" * LONG, max_tokens=None))
    worker.channel.receive_from_worker()
    worker.channel.send(asking("short", "hello"))

    frames = iter(worker.channel.receive_from_worker, None)
    first_end = next(frame for frame in frames if isinstance(frame, Finished))

    assert first_end.id == "short"


def test_a_cancelled_prompt_ends_at_once_with_what_was_computed(start_worker: StartWorker) -> None:
    worker = start_worker(ROOMY)
    worker.channel.send(asking("a", "x" * LONG, max_tokens=None))
    worker.channel.receive_from_worker()
    worker.channel.send(Cancel("a"))

    _text, end = answer(worker, "a")

    assert end.finish == "cancelled"
    assert end.tokens < LONG


@pytest.mark.parametrize(
    ("text", "code"), [("x" * 600, "context_length_exceeded"), ("", "invalid_field")], ids=["long", "empty"]
)
def test_a_prompt_that_cannot_be_computed_is_refused_and_the_next_is_answered(
    start_worker: StartWorker, text: str, code: str
) -> None:
    worker = start_worker(candidate("echo"))
    worker.channel.send(asking("bad", text))
    worker.channel.send(asking("good", "hello"))

    refused = worker.channel.receive_from_worker()

    assert isinstance(refused, Refused)
    assert (refused.id, refused.code) == ("bad", code)
    assert answer(worker, "good")[0] == "hello"


def test_a_worker_that_calls_back_over_loopback_answers_as_any_other() -> None:
    worker = spawn_over_loopback()
    start(candidate("echo"), lambda: worker)

    worker.channel.send(asking("a", "as on Windows"))

    assert answer(worker, "a")[0] == "as on Windows"
    worker.bury()
