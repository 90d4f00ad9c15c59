"""Judges which engine variant fits this box, with a reason for every yes and no. It never looks by itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.engines.options import Speeds
from agent.engines.table import BY_NAME, TABLE, Row
from agent.hardware.budget import Budget, budget_for
from agent.hardware.facts import Facts, Unknown
from agent.hardware.obstacles import obstacle
from agent.hardware.plan import Plan, Way, plan
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
    cache_tokens: int = 0
    """Tokens of prompt beginnings that are kept for later prompts."""
    speeds: Speeds | None = None
    """What `promptd calibrate` measured of it here; None until somebody has."""
    gpu_uuid: str = ""
    """The GPU that was judged; empty for the CPU, DirectML, and boards whose GPU has no such name."""


def choose(
    facts: Facts, model: Model, wishes: EngineSettings, measured: Mapping[str, Speeds] | None = None
) -> tuple[Verdict, ...]:
    """Return a verdict for every row of the engine table: the fitting ones first, in the order to try.

    `measured` holds speeds by variant, of this hardware and this model: the variant with the most tokens per
    second over all its slots comes first.
    """
    speeds = measured or {}
    verdicts = [_judge(row, facts, model, wishes, speeds.get(row.name)) for row in TABLE]

    def rank(verdict: Verdict) -> tuple[bool, bool, float, int]:
        is_preferred = verdict.variant == wishes.prefer
        device = BY_NAME[verdict.variant].device
        return not verdict.fits, not is_preferred, -_rate(verdict), DEVICE_ORDER[device]

    return tuple(sorted(verdicts, key=rank))


def threads(facts: Facts, wishes: EngineSettings) -> int:
    """Return how many threads an engine should use: as wished, else one per usable physical core."""
    return facts.cpu.usable_physical_cores if wishes.threads == "auto" else wishes.threads


def _rate(verdict: Verdict) -> float:
    return verdict.speeds.decode_tokens_per_s(verdict.slots) if verdict.speeds else 0.0


def _judge(row: Row, facts: Facts, model: Model, wishes: EngineSettings, speeds: Speeds | None) -> Verdict:
    budget = budget_for(row, facts)
    proposal = plan(row, model, wishes, budget.available_bytes if budget else 0, speeds)
    refusal = _unwanted(row, wishes) or obstacle(row, facts, model) or _too_long(row, model, wishes)
    if not refusal and not proposal.fits:
        refusal = _too_large(proposal, budget, wishes)
    has_weights = row.device == "none" or model.variant_for(row.name) is not None
    available = budget.available_bytes if budget else None
    return Verdict(
        variant=row.name,
        fits=not refusal,
        reason=refusal or _praise(row, proposal, budget, wishes, speeds),
        needed_bytes=proposal.needed_bytes if has_weights else None,
        available_bytes=None if isinstance(available, Unknown) else available,
        context_length=proposal.way.context_length,
        slots=proposal.way.slots,
        cache_tokens=proposal.way.cache_tokens,
        speeds=speeds,
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
    cache = f" and {proposal.way.cache_tokens} cached" if proposal.way.cache_tokens else ""
    return f"{need} for {_slots_of_tokens(proposal.way)}{cache}, {_offer(budget)}"


def _praise(
    row: Row, proposal: Plan, budget: Budget | None, wishes: EngineSettings, speeds: Speeds | None
) -> str:
    parts = [f"fits: needs {readable(proposal.needed_bytes)} of {_offer(budget)}"]
    if budget and isinstance(budget.available_bytes, Unknown):
        parts = [f"may fit: needs {readable(proposal.needed_bytes)}, {_offer(budget)}"]
    parts += [text for text in (_lowered(proposal), _measured(proposal.way, speeds)) if text]
    if row.name == wishes.prefer:
        parts.append("preferred by engine.prefer")
    return ", ".join(parts)


def _lowered(proposal: Plan) -> str:
    """Tell what memory has taken; a smaller prefix cache costs only time, and has a column of its own."""
    way, wanted = proposal.way, proposal.wanted
    if way.context_length < wanted.context_length:
        return f"with the context lowered to {_slots_of_tokens(way)}"
    return f"with {way.slots} instead of {wanted.slots} slots" if way.slots < wanted.slots else ""


def _measured(way: Way, speeds: Speeds | None) -> str:
    if speeds is None:
        return ""
    sequences = min(way.slots, speeds.step_ms[-1][0])
    company = f" with {sequences} side by side" if sequences > 1 else ""
    return f"measured {speeds.decode_tokens_per_s(sequences):.1f} tokens/s{company}"


def _offer(budget: Budget | None) -> str:
    if budget is None:
        return "no device"
    on_device = f" on {budget.device}" if budget.device else ""
    if isinstance(budget.available_bytes, Unknown):
        return f"available memory{on_device} is unknown: {budget.available_bytes.reason}"
    return f"{readable(budget.available_bytes)} available{on_device}"


def _slots_of_tokens(way: Way) -> str:
    return f"{way.slots} slot{'s' if way.slots > 1 else ''} of {way.context_length} tokens"
