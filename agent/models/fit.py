"""Checks that a model fits this box before gigabytes of it are fetched."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.models.catalogue import CatalogueEntry
from agent.models.manifest import Model
from agent.settings import Settings
from agent.wire.errors import ModelError

if TYPE_CHECKING:
    from agent.hardware.choice import Verdict

Judge = Callable[[Model, Settings], "tuple[Verdict, ...]"]
"""Returns a verdict for every engine variant, the best fitting one first."""


def judge(model: Model, settings: Settings) -> "tuple[Verdict, ...]":
    """Look at this box and return the verdict for every engine variant, the best fitting one first."""
    from agent.hardware.choice import choose  # noqa: PLC0415 -- the probe's libraries are needed here only
    from agent.hardware.probe import probe  # noqa: PLC0415 -- same reason

    return choose(probe(settings.state_dir), model, settings.engine)


def choose_engine(
    entry: CatalogueEntry, settings: Settings, judge: Judge, *, engine: str = "", force: bool = False
) -> str:
    """Return the engine variant to pull for: the wished one, else the first that fits.

    Raises:
        ModelError: nothing fits, or the wished one does not and is not forced; the message has every reason.
    """
    verdicts = [v for v in judge(entry.as_model(), settings) if entry.variant_for(v.variant) is not None]
    wanted = [v for v in verdicts if engine in ("", v.variant)]
    if not wanted:
        known = ", ".join(verdict.variant for verdict in verdicts)
        raise ModelError(f"{entry.name} has nothing for {engine}; choose one of {known}")
    fitting = [verdict for verdict in wanted if verdict.fits]
    if fitting or (engine and force):
        return (fitting or wanted)[0].variant
    reasons = "; ".join(f"{verdict.variant}: {verdict.reason}" for verdict in wanted)
    raise ModelError(
        f"{entry.name} does not fit this box ({reasons}); "
        "pull a smaller model, or name a variant with --engine and --force"
    )
