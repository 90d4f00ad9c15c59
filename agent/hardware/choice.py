"""Judges which engine variant fits this box, with a reason for every yes and no. It never looks by itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.engines.table import BY_NAME, TABLE, Row
from agent.hardware.budget import Budget, budget_for
from agent.hardware.facts import Facts, Unknown
from agent.hardware.obstacles import obstacle
from agent.hardware.plan import Plan, plan
from agent.hardware.sizes import readable
from agent.models.manifest import Model
from agent.settings import EngineSettings

DEVICE_ORDER = {"cuda": 0, "dml": 1, "cpu": 2, "none": 3}
"""Which device is tried first as long as nobody has measured."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one engine variant fits, and why."""

    variant: str
    """The name of its row in the engine table."""
    fits: bool
    reason: str
    needed_bytes: int | None
    """None when the model has no weights for this variant."""
    available_bytes: int | None
    """What the device offers after the reserve for the rest of the system; None when unknown or absent."""
    context_length: int
    slots: int
    gpu_uuid: str = ""
    """The GPU that was judged; empty for the CPU, DirectML, and boards whose GPU has no such name."""


def choose(
    facts: Facts, model: Model, wishes: EngineSettings, measured: Mapping[str, float] | None = None
) -> tuple[Verdict, ...]:
    """Return a verdict for every row of the engine table: the fitting ones first, in the order to try.

    `measured` holds decode speeds in tokens per second by variant, of this hardware and this model.
    """
    speeds = measured or {}
    verdicts = [_judge(row, facts, model, wishes, speeds.get(row.name)) for row in TABLE]

    def rank(verdict: Verdict) -> tuple[bool, bool, float, int]:
        is_preferred = verdict.variant == wishes.prefer
        device = BY_NAME[verdict.variant].device
        return not verdict.fits, not is_preferred, -speeds.get(verdict.variant, 0.0), DEVICE_ORDER[device]

    return tuple(sorted(verdicts, key=rank))


def threads(facts: Facts, wishes: EngineSettings) -> int:
    """Return how many threads an engine should use: as wished, else one per usable physical core."""
    return facts.cpu.usable_physical_cores if wishes.threads == "auto" else wishes.threads


def _judge(row: Row, facts: Facts, model: Model, wishes: EngineSettings, speed: float | None) -> Verdict:
    budget = budget_for(row, facts)
    proposal = plan(row, model, wishes, budget.available_bytes if budget else 0)
    refusal = _unwanted(row, wishes) or obstacle(row, facts, model) or _too_long(row, model, wishes)
    if not refusal and not proposal.fits:
        refusal = _too_large(proposal, budget, wishes)
    has_weights = row.device == "none" or model.variant_for(row.name) is not None
    available = budget.available_bytes if budget else None
    return Verdict(
        variant=row.name,
        fits=not refusal,
        reason=refusal or _praise(row, proposal, budget, wishes, speed),
        needed_bytes=proposal.needed_bytes if has_weights else None,
        available_bytes=None if isinstance(available, Unknown) else available,
        context_length=proposal.context_length,
        slots=proposal.slots,
        gpu_uuid=budget.gpu_uuid if budget else "",
    )


def _unwanted(row: Row, wishes: EngineSettings) -> str:
    if wishes.require and wishes.require != row.name:
        return f"engine.require names {wishes.require}"
    if row.device == "none" and row.name not in (wishes.prefer, wishes.require):
        return f"runs only when engine.prefer or engine.require names {row.name}"
    return ""


def _too_long(row: Row, model: Model, wishes: EngineSettings) -> str:
    trained, wished = model.shape.context_length, wishes.context_length
    if row.device == "none" or wished == "auto" or wished <= trained:
        return ""
    return f"engine.context_length is {wished}, but the model was trained for {trained} tokens"


def _too_large(proposal: Plan, budget: Budget | None, wishes: EngineSettings) -> str:
    is_smallest = "auto" in (wishes.slots, wishes.context_length)
    need = f"needs {'at least ' if is_smallest else ''}{readable(proposal.needed_bytes)}"
    return f"{need} for {_slots_of_tokens(proposal)}, {_offer(budget)}"


def _praise(
    row: Row, proposal: Plan, budget: Budget | None, wishes: EngineSettings, speed: float | None
) -> str:
    parts = [f"fits: needs {readable(proposal.needed_bytes)} of {_offer(budget)}"]
    if budget and isinstance(budget.available_bytes, Unknown):
        parts = [f"may fit: needs {readable(proposal.needed_bytes)}, {_offer(budget)}"]
    if proposal.has_less_context:
        parts.append(f"with the context lowered to {_slots_of_tokens(proposal)}")
    if speed is not None:
        parts.append(f"measured {speed:.1f} tokens/s")
    if row.name == wishes.prefer:
        parts.append("preferred by engine.prefer")
    return ", ".join(parts)


def _offer(budget: Budget | None) -> str:
    if budget is None:
        return "no device"
    on_device = f" on {budget.device}" if budget.device else ""
    if isinstance(budget.available_bytes, Unknown):
        return f"available memory{on_device} is unknown: {budget.available_bytes.reason}"
    return f"{readable(budget.available_bytes)} available{on_device}"


def _slots_of_tokens(proposal: Plan) -> str:
    return f"{proposal.slots} slot{'s' if proposal.slots > 1 else ''} of {proposal.context_length} tokens"
