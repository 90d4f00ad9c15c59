"""How many slots of which context, and how large a prefix cache, fit into memory. Pure arithmetic."""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.engines.options import Speeds
from agent.engines.table import Row
from agent.hardware.facts import Unknown
from agent.models.manifest import Model
from agent.settings import EngineSettings

AUTO_CONTEXT_MAX = 4096
AUTO_CONTEXT_MIN = 512
AUTO_SLOTS_CPU = 8
AUTO_SLOTS_GPU = 8
AUTO_CACHES_TOKENS = (8192, 4096, 2048, 1024, 0)
WORTHWHILE = 0.95
"""More slots keep fewer prompts waiting; they may cost a twentieth of the best throughput, not more."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a variant."""

    context_length: int
    """Tokens of one slot, prompt and answer together."""
    slots: int
    cache_tokens: int
    """Tokens of prompt beginnings that are kept beside the slots."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The way that was found, and what it costs."""

    way: Way
    wanted: Way
    """The way that would be gone if memory were no matter."""
    needed_bytes: int
    fits: bool


def plan(
    row: Row,
    model: Model,
    wishes: EngineSettings,
    available_bytes: int | Unknown,
    speeds: Speeds | None = None,
) -> Plan:
    """Return the first way that fits, else the smallest one.

    The prefix cache is lowered before the slots are, because it only saves time, and the slots before the
    context: a short context refuses prompts, fewer slots only queue them. Memory that is unknown refuses
    nothing, but it is not spent on more than one slot either.
    """
    ways = tuple(_ways(row, model, wishes, speeds))
    if isinstance(available_bytes, Unknown):
        smallest = Way(ways[0].context_length, ways[-1].slots, ways[-1].cache_tokens)
        return Plan(smallest, smallest, needed_bytes(row, model, smallest), fits=True)
    for way in ways:
        if (size_bytes := needed_bytes(row, model, way)) <= available_bytes:
            return Plan(way, ways[0], size_bytes, fits=True)
    return Plan(ways[-1], ways[0], needed_bytes(row, model, ways[-1]), fits=False)


def needed_bytes(row: Row, model: Model, way: Way) -> int:
    """Return what a variant needs: weights, keys and values, and the runtime itself."""
    variant = model.variant_for(row.name)
    weights_bytes = variant.size_bytes if variant else 0
    scratch_bytes = row.scratch_bytes_per_token * way.context_length
    return weights_bytes + kv_bytes(row, model, way) + scratch_bytes + row.overhead_bytes


def kv_bytes(row: Row, model: Model, way: Way) -> int:
    """Return the bytes of keys and values: of all slots and the prefix cache."""
    tokens = way.context_length * way.slots + way.cache_tokens
    return tokens * model.shape.kv_bytes_per_token(row.kv_bytes_per_value)


def worthwhile_slots(speeds: Speeds) -> int | None:
    """Return the most sequences whose tokens per second together come close to the best that was measured.

    None means that no limit was seen: the largest measured number is still worthwhile.
    """
    rates = {sequences: speeds.decode_tokens_per_s(sequences) for sequences, _ in speeds.step_ms}
    most = max(sequences for sequences, rate in rates.items() if rate >= WORTHWHILE * max(rates.values()))
    return None if most == max(rates) else most


def _ways(row: Row, model: Model, wishes: EngineSettings, speeds: Speeds | None) -> Iterator[Way]:
    """Yield the ways from the wanted one down."""
    for context_length in _contexts(model, wishes):
        for slots in _slots(row, wishes, speeds):
            for cache_tokens in _caches_tokens(row, wishes):
                yield Way(context_length, slots, cache_tokens)


def _contexts(model: Model, wishes: EngineSettings) -> tuple[int, ...]:
    if wishes.context_length != "auto":
        return (wishes.context_length,)
    lengths = [min(model.shape.context_length, AUTO_CONTEXT_MAX)]
    while lengths[-1] // 2 >= AUTO_CONTEXT_MIN:
        lengths.append(lengths[-1] // 2)
    return tuple(lengths)


def _slots(row: Row, wishes: EngineSettings, speeds: Speeds | None) -> tuple[int, ...]:
    if wishes.slots != "auto":
        return (wishes.slots,)
    most = AUTO_SLOTS_GPU if row.device in ("cuda", "dml") else AUTO_SLOTS_CPU
    if speeds and (worthwhile := worthwhile_slots(speeds)):
        most = min(most, worthwhile)
    return tuple(number for number in (8, 4, 2, 1) if number <= most)


def _caches_tokens(row: Row, wishes: EngineSettings) -> tuple[int, ...]:
    if not row.shares_prefixes:
        return (0,)
    return AUTO_CACHES_TOKENS if wishes.cache_tokens == "auto" else (wishes.cache_tokens,)
