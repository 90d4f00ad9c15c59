"""Equal beginnings: the tree of what is kept, and that it changes what is computed, not what is said."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.engines.batch import Batch
from agent.engines.contract import Engine
from agent.engines.prefix_cache import PrefixCache
from agent.wire.prompt import Message
from engines.running import Variant, finish, open_variant, request

SHELVED = (Variant("gguf-cpu", "agent.engines.llama_cpp"), Variant("onnx-cpu-int4", "agent.engines.onnx_cpu"))
SYSTEM = "You watch the pumps of a water plant. Answer with JSON only, never with words. "
QUESTIONS = tuple(f"Extract JSON: 12:04:{n:02d} WARN pump-{n} pressure={n}.3bar" for n in range(10, 22))


class PaperShelf:
    """Notes which positions a segment holds, and refuses what no engine could do."""

    def __init__(self, tokens: int, segments: int = 99) -> None:
        self.tokens, self.first_tokens, self.segments = tokens, tokens, segments
        self.held: dict[int, range] = {}
        self.restored: list[range] = []
        self._next = 0

    def keep(self, _slot: int, start: int, stop: int) -> int:
        self._next += 1
        self.held[self._next] = range(start, stop)
        assert len(self.held) <= self.segments
        assert self.held_tokens <= self.tokens
        return self._next

    @property
    def held_tokens(self) -> int:
        return sum(map(len, self.held.values()))

    def cost(self, start: int, stop: int) -> int:
        return stop - start

    def least_tokens(self, _kept: int) -> int:
        return 1

    def restore(self, segments: Sequence[int], _slot: int) -> None:
        self.restored += [self.held[segment] for segment in segments]

    def split(self, segment: int, at: int) -> int:
        span = self.held[segment]
        assert span.start < at < span.stop
        self.held[segment] = range(span.start, at)
        return self.keep(0, at, span.stop)

    def drop(self, segment: int) -> None:
        del self.held[segment]


def test_what_was_kept_is_found_as_far_as_it_is_equal() -> None:
    cache = PrefixCache(PaperShelf(100))

    cache.insert((1, 2, 3, 4), 0)

    assert [cache.match(tokens) for tokens in ((1, 2, 3, 4, 5), (1, 2, 9), (9,), ())] == [4, 2, 0, 0]


def test_a_shared_beginning_is_held_once() -> None:
    shelf = PaperShelf(100)
    cache = PrefixCache(shelf)

    for tail in (7, 8, 9):
        cache.insert((1, 2, 3, tail), 0)

    assert shelf.held_tokens == 6
    assert sorted(map(len, shelf.held.values())) == [1, 1, 1, 3]


def test_a_slot_is_given_its_segments_in_the_order_of_their_positions() -> None:
    shelf = PaperShelf(100)
    cache = PrefixCache(shelf)
    cache.insert((1, 2, 3, 4), 0)
    cache.insert((1, 2, 5, 6), 0)

    length = cache.restore((1, 2, 5, 6, 7), 1)

    assert (length, shelf.restored) == (4, [range(2), range(2, 4)])


def test_the_leaf_that_nobody_used_for_longest_goes_first() -> None:
    cache = PrefixCache(PaperShelf(6))
    cache.insert((1, 1, 1), 0)
    cache.insert((2, 2, 2), 0)
    cache.restore((1, 1, 1), 0)

    cache.insert((3, 3, 3), 0)

    assert [cache.match(tokens) for tokens in ((1, 1, 1), (2, 2, 2), (3, 3, 3))] == [3, 0, 3]


def test_a_sequence_longer_than_the_shelf_is_not_kept_and_drives_nobody_out() -> None:
    cache = PrefixCache(PaperShelf(5))
    cache.insert((7, 7, 7), 0)

    cache.insert(tuple(range(9)), 0)

    assert (cache.match(tuple(range(9))), cache.match((7, 7, 7))) == (0, 3)


def test_without_a_shelf_nothing_is_kept() -> None:
    cache = PrefixCache(None)

    cache.insert((1, 2), 0)

    assert cache.restore((1, 2, 3), 0) == 0


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12).map(tuple), max_size=40))
@settings(max_examples=200, deadline=None)
def test_whatever_comes_the_tree_agrees_with_its_shelf(prompts: list[tuple[int, ...]]) -> None:
    shelf = PaperShelf(20, segments=8)
    cache = PrefixCache(shelf)

    for tokens in prompts:
        shelf.restored.clear()
        length = cache.restore(tokens, 0)
        covered = [position for span in shelf.restored for position in span]
        cache.insert(tokens, 0)

        assert covered[:length] == list(range(length))
        assert shelf.held_tokens <= shelf.tokens


@pytest.fixture(scope="module", params=SHELVED, ids=lambda variant: variant.name)
def shelved(request: pytest.FixtureRequest) -> Variant:
    variant: Variant = request.param
    return variant


@pytest.fixture
def opener(shelved: Variant) -> Callable[[int], Engine]:
    def open_with(cache_tokens: int) -> Engine:
        return open_variant(shelved, cache_tokens=cache_tokens)

    return open_with


def prompts_of(engine: Engine) -> list[list[int]]:
    return [
        engine.chat_tokens([Message("system", SYSTEM), Message("user", question)]) for question in QUESTIONS
    ]


def test_answers_with_a_shared_beginning_are_those_without(opener: Callable[[int], Engine]) -> None:
    plain, caching = opener(0), opener(1024)
    wanted = finish(Batch(plain), [request(str(n), p) for n, p in enumerate(prompts_of(plain))])

    texts = finish(Batch(caching), [request(str(n), p) for n, p in enumerate(prompts_of(caching))])

    plain.close()
    caching.close()
    assert texts == wanted


def test_prompts_that_come_together_compute_their_beginning_once(opener: Callable[[int], Engine]) -> None:
    engine = opener(1024)
    batch, prompts = Batch(engine), prompts_of(engine)[: engine.facts.slots]
    for number, prompt in enumerate(prompts):
        batch.admit(request(str(number), prompt, max_tokens=4))

    cached = {step.id: step.cached_tokens for _ in range(20) if not batch.is_idle for step in batch.step()}

    engine.close()
    shared = len(engine_system_part(prompts))
    assert sorted(cached.values()) == [0, *[pytest.approx(shared, abs=2)] * (len(prompts) - 1)]


def engine_system_part(prompts: list[list[int]]) -> list[int]:
    first, *others = prompts
    length = next(n for n, token in enumerate(first) if any(other[n] != token for other in others))
    return first[:length]


def test_ten_system_prompts_that_take_turns_stay_cached(opener: Callable[[int], Engine]) -> None:
    engine = opener(4096)
    systems = [f"You are the clerk of plant {name}. " + SYSTEM * 2 for name in "ABCDEFGHIJ"]
    batch, cached = Batch(engine), dict[str, int]()
    turns = [
        request(
            f"{turn}-{number}",
            engine.chat_tokens([Message("system", system), Message("user", f"{turn} {QUESTIONS[turn]}")]),
            max_tokens=4,
        )
        for turn in range(4)
        for number, system in enumerate(systems)
    ]

    while turns or not batch.is_idle:
        while turns and not batch.is_full:
            batch.admit(turns.pop(0))
        cached |= {step.id: step.cached_tokens for step in batch.step() if step.finish}

    engine.close()
    assert min(cached[f"3-{number}"] for number in range(10)) > 40
