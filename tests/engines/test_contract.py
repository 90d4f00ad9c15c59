"""What every engine promises, asked of every engine that can run here."""

import numpy as np
import pytest

from agent.engines.batch import Batch
from agent.engines.contract import Engine, Feed
from agent.engines.table import BY_NAME
from agent.wire.errors import ContextLengthExceeded, EngineError
from agent.wire.prompt import Message
from engines.running import (
    CONTEXT,
    SLOTS,
    Golden,
    Variant,
    alone,
    equal,
    finish,
    greedy,
    open_variant,
    request,
    together,
)


def test_the_facts_tell_where_the_engine_really_runs(any_engine: Engine, any_variant: Variant) -> None:
    wanted = BY_NAME[any_variant.name].device

    facts = any_engine.facts

    assert (facts.device, facts.slots, facts.context_length) == (wanted, SLOTS, CONTEXT)


def test_the_facts_name_the_size_of_the_vocabulary(any_engine: Engine) -> None:
    tokens = any_engine.text_tokens("hello")

    (logits,) = any_engine.forward([Feed(0, tokens, 0, outputs=1)])

    assert logits.shape == (1, any_engine.facts.vocabulary)


def test_logits_that_nobody_wants_are_not_returned(any_engine: Engine) -> None:
    tokens = any_engine.text_tokens("hello")

    logits = any_engine.forward([Feed(0, tokens, 0, outputs=0)])

    assert [len(rows) for rows in logits] == [0]


def test_a_prompt_in_chunks_gives_the_answer_of_the_whole_prompt(
    any_engine: Engine, golden: tuple[Golden, ...]
) -> None:
    # Measured: equal for 60 of 60 prompts on every CPU engine, whole and in chunks of 7.
    prompts = [any_engine.chat_tokens([Message("user", one.prompt)]) for one in golden[:20]]
    whole = [greedy(any_engine, prompt, chunk=CONTEXT) for prompt in prompts]

    in_chunks = [greedy(any_engine, prompt, chunk=7) for prompt in prompts]

    assert equal(in_chunks, whole) >= 19


def test_a_sequence_says_the_same_in_company_as_alone(any_engine: Engine, golden: tuple[Golden, ...]) -> None:
    # Kernels may differ with the number of rows, so a near tie may fall the other way. Measured: equal for
    # 60 of 60 prompts of 21 to 66 tokens that join and leave 4 slots, on every CPU engine.
    prompts = [any_engine.chat_tokens([Message("user", one.prompt)]) for one in golden]
    by_itself = alone(any_engine, prompts)

    in_company = together(any_engine, prompts)

    assert equal(in_company, by_itself) >= 0.95 * len(prompts)


def test_a_slot_that_was_used_before_answers_the_same(any_engine: Engine, golden: tuple[Golden, ...]) -> None:
    first, other = (any_engine.chat_tokens([Message("user", one.prompt)]) for one in golden[:2])
    before = greedy(any_engine, first, chunk=CONTEXT)
    greedy(any_engine, [*other, *other], chunk=CONTEXT)

    after = greedy(any_engine, first, chunk=CONTEXT)

    assert after == before


@pytest.mark.parametrize("last_alone", [False, True], ids=["half read", "answering"])
def test_a_sequence_that_pauses_is_not_disturbed_by_the_others(
    any_engine: Engine, golden: tuple[Golden, ...], *, last_alone: bool
) -> None:
    # Measured: on the CPU engines not one bit of the logits moves.
    prompt, other = (any_engine.chat_tokens([Message("user", one.prompt)]) for one in golden[2:4])
    rest = Feed(1, prompt[9:], 9, outputs=1)
    _read(any_engine, prompt[:9], last_alone=last_alone)
    expected = _logits(any_engine, rest)
    any_engine.truncate(1, 0)
    _read(any_engine, prompt[:9], last_alone=last_alone)
    greedy(any_engine, other, chunk=CONTEXT, slot=2)

    logits = _logits(any_engine, rest)

    np.testing.assert_allclose(logits, expected, atol=0.01)


def test_a_cancelled_sequence_leaves_at_once_and_its_slot_is_free(any_engine: Engine) -> None:
    batch = Batch(any_engine)
    tokens = any_engine.chat_tokens([Message("user", "Extract JSON: 12:04:11 WARN pump-17 pressure=9.3bar")])
    for slot in range(SLOTS):
        batch.admit(request(f"{slot}", tokens))
    batch.step()

    ended = batch.cancel("2")

    assert ended is not None
    assert (ended.finish, batch.is_full) == ("cancelled", False)
    assert "2" not in {step.id for step in batch.step()}
    finish(batch)


def test_whoever_takes_a_cancelled_slot_answers_as_alone(
    any_engine: Engine, golden: tuple[Golden, ...]
) -> None:
    first, second = (any_engine.chat_tokens([Message("user", one.prompt)]) for one in golden[4:6])
    expected = alone(any_engine, [second])[0]
    batch = Batch(any_engine)
    batch.admit(request("first", first))
    batch.step()
    batch.step()
    batch.cancel("first")

    texts = finish(batch, [request("second", second)])

    assert texts["second"] == expected


def test_a_prompt_that_does_not_fit_is_refused_and_the_engine_goes_on(any_engine: Engine) -> None:
    batch = Batch(any_engine)
    tokens = any_engine.chat_tokens([Message("user", "hello")])

    with pytest.raises(ContextLengthExceeded, match=f"context of {CONTEXT} tokens"):
        batch.admit(request("long", tokens * CONTEXT))

    assert finish(batch, [request("short", tokens)])["short"]


def test_a_slot_can_be_filled_to_its_last_token_beside_another(any_engine: Engine) -> None:
    tokens = any_engine.chat_tokens([Message("user", "hello")])
    expected = alone(any_engine, [tokens])[0]
    full = (tokens * CONTEXT)[: CONTEXT - 8]

    texts = finish(Batch(any_engine), [request("full", full, None), request("other", tokens)])

    assert texts["other"] == expected


def test_a_closed_engine_can_be_closed_again_and_refuses_to_compute(any_variant: Variant) -> None:
    engine = open_variant(any_variant)
    tokens = engine.text_tokens("hello")
    engine.close()

    engine.close()

    if any_variant.name != "echo":
        with pytest.raises(EngineError, match="closed"):
            engine.forward([Feed(0, tokens, 0, outputs=1)])


def _read(engine: Engine, tokens: list[int], *, last_alone: bool) -> None:
    """Feed slot 1, the last token together with the others as in a prompt, or alone as in an answer."""
    if last_alone:
        engine.forward([Feed(1, tokens[:-1], 0, outputs=0)])
        engine.forward([Feed(1, tokens[-1:], len(tokens) - 1, outputs=1)])
    else:
        engine.forward([Feed(1, tokens, 0, outputs=0)])


def _logits(engine: Engine, feed: Feed) -> np.ndarray:
    (logits,) = engine.forward([feed])
    return logits.copy()
