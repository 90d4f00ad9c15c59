"""The ways an answer ends, with the engine that answers with the prompt."""

import pytest

from agent.engines.batch import Batch
from agent.engines.sequence import Request, Step
from agent.wire.prompt import Sampling
from engines.running import CONTEXT, Variant, finish, open_variant


@pytest.fixture
def batch() -> Batch:
    return Batch(open_variant(Variant("echo", "agent.engines.echo")))


def asking(text: str, max_tokens: int | None = None, stop: tuple[str, ...] = ()) -> Request:
    return Request(text, tuple(text.encode()), max_tokens, Sampling(), stop)


def last_step(batch: Batch) -> Step:
    steps = [step for _ in range(CONTEXT) if not batch.is_idle for step in batch.step()]
    return steps[-1]


def test_an_answer_ends_at_its_end_token(batch: Batch) -> None:
    batch.admit(asking("abc"))

    last = last_step(batch)

    assert (last.finish, last.tokens) == ("stop", 3)


def test_an_answer_ends_at_its_token_limit(batch: Batch) -> None:
    batch.admit(asking("abcdef", max_tokens=2))

    last = last_step(batch)

    assert (last.finish, last.tokens, last.text) == ("length", 2, "b")


def test_an_answer_ends_before_its_stop_string(batch: Batch) -> None:
    stopped = asking("one two three", stop=("two", "three"))

    texts = finish(batch, [stopped])

    assert texts == {"one two three": "one "}


def test_a_stop_string_is_a_stop(batch: Batch) -> None:
    batch.admit(asking("one two", stop=("two",)))

    last = last_step(batch)

    assert (last.finish, last.text) == ("stop", "")


@pytest.mark.parametrize("max_tokens", [None, 6])
def test_text_that_waited_for_a_stop_string_in_vain_is_handed_out(
    batch: Batch, max_tokens: int | None
) -> None:
    waiting = asking("one ##", max_tokens=max_tokens, stop=("###",))

    texts = finish(batch, [waiting])

    assert texts == {"one ##": "one ##"}


def test_a_character_cut_by_the_token_limit_is_marked(batch: Batch) -> None:
    cut = asking("a🙂", max_tokens=3)

    texts = finish(batch, [cut])

    assert texts == {"a🙂": "a\ufffd"}


def test_whoever_is_cancelled_ends_with_what_was_computed_so_far(batch: Batch) -> None:
    batch.admit(asking("abcdef"))
    batch.step()
    batch.step()

    ended = batch.cancel("abcdef")

    assert ended == Step("abcdef", "", 2, "cancelled")


def test_who_does_not_run_cannot_be_cancelled(batch: Batch) -> None:
    batch.admit(asking("a"))
    finish(batch)

    ended = batch.cancel("a")

    assert ended is None
