import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agent.engines.contract import Logits
from agent.engines.sampling import Sampler
from agent.wire.errors import EngineError, InvalidField
from agent.wire.prompt import Sampling

LOGITS = arrays.arrays(np.float32, st.integers(1, 50), elements=st.floats(-50, 50, width=32))
FOUR: Logits = np.log(np.array([0.1, 0.4, 0.3, 0.2], dtype=np.float32))


def draws(sampling: Sampling, logits: Logits, count: int = 200) -> list[int]:
    sampler = Sampler(sampling)
    return [sampler.choose(logits) for _ in range(count)]


@given(LOGITS)
def test_without_temperature_the_first_of_the_likeliest_tokens_is_chosen(logits: Logits) -> None:
    sampler = Sampler(Sampling())

    token = sampler.choose(logits)

    assert token == list(logits).index(max(logits))


@given(LOGITS, st.integers(1, 8), st.floats(0.01, 1), st.floats(1e-320, 10, exclude_min=True))
def test_whatever_is_wished_some_token_is_chosen(
    logits: Logits, top_k: int, top_p: float, temperature: float
) -> None:
    sampler = Sampler(Sampling(temperature, top_p, top_k, seed=1))

    token = sampler.choose(logits)

    assert sum(logits > logits[token]) < top_k


@given(LOGITS, st.integers(0, 2**63 - 1))
def test_equal_seeds_choose_equally(logits: Logits, seed: int) -> None:
    sampling = Sampling(temperature=1.0, seed=seed)

    first, second = draws(sampling, logits, 5), draws(sampling, logits, 5)

    assert first == second


def test_a_temperature_near_zero_is_greedy() -> None:
    sampling = Sampling(temperature=1e-310, seed=1)

    tokens = draws(sampling, FOUR)

    assert set(tokens) == {1}


def test_top_k_leaves_only_the_best() -> None:
    sampling = Sampling(temperature=1.0, top_k=2, seed=1)

    tokens = draws(sampling, FOUR)

    assert set(tokens) == {1, 2}


def test_top_p_keeps_the_token_that_crosses_the_border_and_none_after_it() -> None:
    sampling = Sampling(temperature=1.0, top_p=0.6, seed=1)

    tokens = draws(sampling, FOUR)

    assert set(tokens) == {1, 2}


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    sampling = Sampling(temperature=1.0, seed=1)

    counts = np.bincount(draws(sampling, FOUR, 4000))

    assert counts / 4000 == pytest.approx([0.1, 0.4, 0.3, 0.2], abs=0.03)


def test_a_high_temperature_makes_all_tokens_more_alike() -> None:
    sampling = Sampling(temperature=10.0, seed=1)

    counts = np.bincount(draws(sampling, FOUR, 4000))

    assert counts / 4000 == pytest.approx([0.25] * 4, abs=0.05)


def test_a_token_that_is_ruled_out_is_never_drawn() -> None:
    logits = np.array([0.0, -np.inf, 0.0], dtype=np.float32)

    tokens = draws(Sampling(temperature=10.0, seed=1), logits)

    assert set(tokens) == {0, 2}


@pytest.mark.parametrize("broken", [[0.0, np.nan], [np.inf, 0.0]])
def test_logits_that_are_no_numbers_are_an_engine_error(broken: list[float]) -> None:
    logits = np.array(broken, dtype=np.float32)

    with pytest.raises(EngineError, match="not finite"):
        Sampler(Sampling(temperature=1.0)).choose(logits)


def test_a_sequence_whose_tokens_are_all_forbidden_is_refused_alone() -> None:
    logits = np.array([-np.inf, -np.inf], dtype=np.float32)

    with pytest.raises(InvalidField, match="no token can follow"):
        Sampler(Sampling()).choose(logits)
