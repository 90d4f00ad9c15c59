"""How many slots of which context fit into how much memory. Pure arithmetic."""

from dataclasses import dataclass

from agent.engines.table import Row
from agent.hardware.facts import Unknown
from agent.models.manifest import Model
from agent.settings import EngineSettings

AUTO_CONTEXT_MAX = 4096
AUTO_CONTEXT_MIN = 512
AUTO_SLOTS_CPU = 4
AUTO_SLOTS_GPU = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to run a variant."""

    context_length: int
    """Tokens of one slot, prompt and answer together."""
    slots: int
    needed_bytes: int
    fits: bool
    has_less_context: bool
    """The context was lowered, because the usual one does not fit."""


def plan(row: Row, model: Model, wishes: EngineSettings, available_bytes: int | Unknown) -> Plan:
    """Return the first plan that fits, else the smallest one.

    Slots are lowered before the context is: a short context refuses prompts, fewer slots only queue them.
    Memory that is unknown refuses nothing, but it is not spent on more than one slot either.
    """
    contexts, slots = _contexts(model, wishes), _slots(row, wishes)
    if isinstance(available_bytes, Unknown):
        return _plan(row, model, contexts[0], slots[-1], fits=True)
    for context_length in contexts:
        for number in slots:
            if needed_bytes(row, model, context_length, number) <= available_bytes:
                found = _plan(row, model, context_length, number, fits=True)
                return found if context_length == contexts[0] else _lowered(found)
    return _plan(row, model, contexts[-1], slots[-1], fits=False)


def needed_bytes(row: Row, model: Model, context_length: int, slots: int) -> int:
    """Return what a variant needs: its weights, the KV cache of all slots and the runtime itself."""
    variant = model.variant_for(row.name)
    weights_bytes = variant.size_bytes if variant else 0
    cache_bytes = context_length * slots * model.shape.kv_bytes_per_token(row.kv_bytes_per_value)
    return weights_bytes + cache_bytes + row.overhead_bytes


def _contexts(model: Model, wishes: EngineSettings) -> tuple[int, ...]:
    if wishes.context_length != "auto":
        return (wishes.context_length,)
    lengths = [min(model.shape.context_length, AUTO_CONTEXT_MAX)]
    while lengths[-1] // 2 >= AUTO_CONTEXT_MIN:
        lengths.append(lengths[-1] // 2)
    return tuple(lengths)


def _slots(row: Row, wishes: EngineSettings) -> tuple[int, ...]:
    if wishes.slots != "auto":
        return (wishes.slots,)
    most = AUTO_SLOTS_GPU if row.device in ("cuda", "dml") else AUTO_SLOTS_CPU
    return tuple(number for number in (8, 4, 2, 1) if number <= most)


def _plan(row: Row, model: Model, context_length: int, slots: int, *, fits: bool) -> Plan:
    size_bytes = needed_bytes(row, model, context_length, slots)
    return Plan(context_length, slots, size_bytes, fits, has_less_context=False)


def _lowered(found: Plan) -> Plan:
    return Plan(found.context_length, found.slots, found.needed_bytes, found.fits, has_less_context=True)
