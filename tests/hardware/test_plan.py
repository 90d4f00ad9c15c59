"""How memory is shared out between weights, slots, context and prefix cache: arithmetic, as data."""

from dataclasses import replace

import pytest

from agent.engines.options import Speeds
from agent.engines.table import BY_NAME, TABLE
from agent.hardware.facts import Unknown
from agent.hardware.plan import Way, kv_bytes, needed_bytes, plan, worthwhile_slots
from agent.models.manifest import Model
from agent.settings import EngineSettings

MB, GB = 10**6, 10**9
GGUF, ONNX, ECHO = BY_NAME["gguf-cpu"], BY_NAME["onnx-cpu-int4"], BY_NAME["echo"]
PHI_KV_BYTES = 2 * 32 * 32 * 96 * 2
"""Of one token of Phi-3-mini, with keys and values of 16 bits."""


def test_slots_and_prefix_cache_take_keys_and_values_and_a_pass_takes_scores(phi: Model) -> None:
    way = Way(context_length=4096, slots=2, cache_tokens=1024)

    size_bytes = needed_bytes(GGUF, phi, way)

    scores_bytes = 4096 * GGUF.scratch_bytes_per_token
    keys_and_values_bytes = (2 * 4096 + 1024) * PHI_KV_BYTES
    assert size_bytes == 2390 * MB + keys_and_values_bytes + scores_bytes + GGUF.overhead_bytes


def test_keys_and_values_of_32_bits_take_twice_the_bytes_of_those_of_16(phi: Model) -> None:
    way = Way(context_length=4096, slots=2, cache_tokens=1024)

    size_bytes = kv_bytes(ONNX, phi, way)

    assert size_bytes == (2 * 4096 + 1024) * PHI_KV_BYTES * 2  # 32 bits on the CPU


@pytest.mark.parametrize(
    ("available_gb", "expected"),
    [
        (100.0, Way(4096, 8, 8192)),
        (17.4, Way(4096, 8, 4096)),
        (15.6, Way(4096, 8, 0)),
        (15.4, Way(4096, 4, 8192)),
        (9.6, Way(4096, 4, 1024)),
        (9.2, Way(4096, 4, 0)),
        (5.9, Way(4096, 2, 0)),
        (4.3, Way(4096, 1, 0)),
        (4.0, Way(2048, 1, 1024)),
        (3.0, Way(1024, 1, 0)),
        (2.75, Way(512, 1, 0)),
    ],
)
def test_the_cache_shrinks_first_then_the_slots_then_the_context(
    phi: Model, available_gb: float, expected: Way
) -> None:
    wishes = EngineSettings()

    found = plan(GGUF, phi, wishes, int(available_gb * GB))

    assert found.way == expected
    assert found.fits


def test_the_context_an_operator_wants_is_kept_and_the_slots_are_lowered_for_it(phi: Model) -> None:
    wishes = EngineSettings(context_length=4096)

    found = plan(GGUF, phi, wishes, 6 * GB)

    assert (found.way, found.wanted.slots, found.fits) == (Way(4096, 2, 0), 8, True)


def test_a_context_an_operator_wants_that_does_not_fit_is_not_lowered(phi: Model) -> None:
    wishes = EngineSettings(context_length=4096)

    found = plan(GGUF, phi, wishes, 4 * GB)

    assert (found.way, found.fits) == (Way(4096, 1, 0), False)


@pytest.mark.parametrize("cache_tokens", [0, 100, 16384])
def test_the_prefix_cache_an_operator_wants_is_taken_literally(phi: Model, cache_tokens: int) -> None:
    wishes = EngineSettings(cache_tokens=cache_tokens)

    found = plan(GGUF, phi, wishes, 100 * GB)

    assert found.way.cache_tokens == cache_tokens


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_only_engines_that_can_share_beginnings_get_a_prefix_cache(row: object, phi: Model) -> None:
    (found_row,) = [one for one in TABLE if one is row]

    found = plan(found_row, phi, EngineSettings(cache_tokens=2048), 100 * GB)

    shares = {"gguf-cpu", "gguf-cuda", "onnx-cpu-int4"}
    assert found.way.cache_tokens == (2048 if found_row.name in shares else 0)


def test_memory_that_is_unknown_is_not_spent_on_more_than_one_slot(phi: Model) -> None:
    available = Unknown("cannot read /proc/meminfo")

    found = plan(GGUF, phi, EngineSettings(), available)

    assert (found.way, found.fits) == (Way(4096, 1, 0), True)


@pytest.mark.parametrize(
    ("step_ms", "expected"),
    [
        (((1, 100.0), (2, 110.0), (4, 130.0), (8, 200.0)), None),
        (((1, 100.0), (2, 110.0), (4, 130.0), (8, 273.0)), None),
        (((1, 100.0), (2, 110.0), (4, 130.0), (8, 275.0)), 4),
        (((1, 100.0), (2, 210.0), (4, 450.0)), 2),
        (((1, 100.0), (2, 220.0), (4, 450.0)), 1),
        (((1, 100.0),), None),
    ],
)
def test_the_most_slots_that_cost_at_most_a_twentieth_of_the_throughput_are_worthwhile(
    step_ms: tuple[tuple[int, float], ...], expected: int | None
) -> None:
    speeds = Speeds(500.0, step_ms)

    found = worthwhile_slots(speeds)

    assert found == expected


def test_measured_steps_limit_the_slots_that_nobody_asked_for(phi: Model) -> None:
    speeds = Speeds(500.0, ((1, 100.0), (2, 110.0), (4, 300.0), (8, 900.0)))

    found = plan(GGUF, phi, EngineSettings(), 100 * GB, speeds)
    asked = plan(GGUF, phi, EngineSettings(slots=8), 100 * GB, speeds)

    assert (found.way.slots, found.wanted.slots, asked.way.slots) == (2, 2, 8)


def test_numbers_that_were_not_measured_are_not_ruled_out_while_more_is_still_better(phi: Model) -> None:
    speeds = Speeds(500.0, ((1, 100.0), (2, 110.0)))

    found = plan(GGUF, phi, EngineSettings(), 100 * GB, speeds)

    assert found.way.slots == 8


def test_an_engine_without_weights_needs_only_itself(phi: Model) -> None:
    model = replace(phi, variants=())

    found = plan(ECHO, model, EngineSettings(), GB)

    assert (found.needed_bytes, found.way.slots) == (ECHO.overhead_bytes, 8)
