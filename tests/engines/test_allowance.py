"""How much of a shelf is used: little while nothing is shared, more once keeping more would have helped."""

from dataclasses import dataclass

from agent.engines.allowance import FIRST_TOKENS, PATIENCE, Allowance
from agent.engines.contract import Shelf
from agent.engines.llama_shelf import LlamaShelf

PROMPT = tuple(range(100))


def shelf(tokens: int = 8192) -> Shelf:
    return LlamaShelf(Nothing(), tokens)  # type: ignore[arg-type]  # no state is copied here


@dataclass(frozen=True)
class Nothing:
    """A context that nobody asks."""


def test_nothing_is_kept_until_two_prompts_begin_alike() -> None:
    allowance = Allowance(shelf())

    allowance.learn(PROMPT, 0)
    before = allowance.tokens
    allowance.learn((*PROMPT[:50], 7), 0)

    assert (before, allowance.tokens) == (0, FIRST_TOKENS)


def test_a_beginning_that_went_too_early_is_a_reason_to_keep_more() -> None:
    allowance = Allowance(shelf())
    for _ in range(2):
        allowance.learn(PROMPT, 0)

    allowance.learn(PROMPT, 0)

    assert allowance.tokens == 2 * FIRST_TOKENS


def test_what_is_found_is_no_reason_to_keep_more() -> None:
    allowance = Allowance(shelf())
    for kept in (0, 0, len(PROMPT)):
        allowance.learn(PROMPT, kept)

    assert allowance.tokens == FIRST_TOKENS


def test_many_prompts_that_share_nothing_are_a_reason_to_keep_less() -> None:
    allowance = Allowance(shelf())
    for _ in range(2):
        allowance.learn(PROMPT, 0)

    for number in range(PATIENCE):
        allowance.learn((-number,) * 20, 0)

    assert allowance.tokens == FIRST_TOKENS // 2


def test_no_more_is_kept_than_the_shelf_holds() -> None:
    allowance = Allowance(shelf(tokens=3000))

    for _ in range(5):
        allowance.learn(PROMPT, 0)

    assert allowance.tokens == 3000
