"""What promptd keeps, where, and for how long: `promptd privacy`."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from agent.flow.pruning import Retention
from agent.settings import Settings

OUTSIDE = "Nothing leaves this box but to broker.url; a model hub is asked only by `promptd models pull`."
DAY_S = 24 * 3600
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere promptd leaves something."""

    where: str
    holds: str
    has_text: bool
    """Whether prompts or answers can be read there."""
    kept: str
    remove: str
    """How to get rid of it."""


def places(settings: Settings) -> tuple[Place, ...]:
    """Return every place, those that hold prompts and answers first."""
    state, root, kept = settings.state_dir, settings.broker.root, Retention()
    device = f"{root}/v1/device/{settings.device_id}"
    days, size_mib = round(kept.age_s / DAY_S), settings.queue.history_bytes // MIB
    return (
        Place(
            where=f"{state}/ledger.db",
            holds="prompts, answers, ids, response topics; readable by the user who runs promptd",
            has_text=True,
            kept=f"until the answer is delivered, then for {days} days, {kept.prompts} prompts or {size_mib} "
            "MiB, whichever ends first; what is deleted is overwritten",
            remove="stop promptd and delete the file: repeated requests are then computed again",
        ),
        Place(
            where=f"{state}/ledger.db.damaged-*",
            holds="a ledger that was found damaged at a start",
            has_text=True,
            kept="until somebody deletes it",
            remove="delete the file",
        ),
        Place(
            where="memory of the engine worker",
            holds="prompts that run, and beginnings kept for later ones (engine.cache_tokens)",
            has_text=True,
            kept="until the worker ends, or others need the room; it writes no core file",
            remove="restart promptd; engine.cache_tokens = 0 keeps no beginnings",
        ),
        Place(
            where=f"broker: {root}/v1/client/+/response/# and {device}/response/#",
            holds="answers on their way; never retained",
            has_text=True,
            kept="by the broker's own rules, at most as long as the request's Message Expiry Interval",
            remove="see the broker",
        ),
        Place(
            where=f"broker: {device}/status, info, health; events, which are not retained",
            holds="state, hardware, counts, speeds; refused response topics",
            has_text=False,
            kept="the last one of each, retained",
            remove="publish an empty retained message to the topic",
        ),
        Place(
            where="log (journal or terminal)",
            holds="ids of prompts, counts, times, error codes",
            has_text=False,
            kept="by the journal's own rules",
            remove="journalctl --vacuum-time",
        ),
        Place(
            where=f"{state}: models, calibration.json, ballast, lock",
            holds="model files, measured speeds, 4 MiB of nothing for a full disk, a lock",
            has_text=False,
            kept="until removed",
            remove="delete the file or folder",
        ),
    )


def as_json(found: Iterable[Place]) -> list[dict[str, Any]]:
    """Return the places for scripts."""
    return [asdict(place) for place in found]


def report(found: Iterable[Place]) -> str:
    """Return the places for people."""
    return "\n".join([*map(_paragraph, found), OUTSIDE])


def _paragraph(place: Place) -> str:
    text = "prompts and answers can be read there" if place.has_text else "no prompt and no answer"
    lines = (
        place.where,
        f"  holds   {place.holds}",
        f"  text    {text}",
        f"  kept    {place.kept}",
        f"  remove  {place.remove}",
    )
    return "\n".join(lines) + "\n"
