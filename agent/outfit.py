"""What this box brings to the work: its facts, its model, and the engines to try, best first."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import Any

from agent.engines.options import EngineOptions, Speeds
from agent.engines.table import BY_NAME
from agent.hardware.calibration import Bench, Calibration
from agent.hardware.choice import Verdict, choose, threads
from agent.hardware.facts import Facts
from agent.hardware.probe import probe
from agent.models.guard import ModelGuard
from agent.models.manifest import Model
from agent.models.soundness import fault_of_variant
from agent.models.store import Store
from agent.settings import Settings
from agent.wire.errors import ConfigError, ModelError
from agent.wire.replies import EngineBadge
from agent.worker.start import NO_FILES, Candidate


@dataclass(frozen=True, slots=True)
class Outfit:
    """Everything that was found out before anything is started."""

    facts: Facts
    model: Model
    verdicts: tuple[Verdict, ...]
    candidates: tuple[Candidate, ...]

    def misfits(self, preferred: str) -> list[str]:
        """Return why the preferred variant does not fit; if nothing does, why each stored one does not."""
        refused = [verdict for verdict in self.verdicts if not verdict.fits]
        wanted = {preferred} if self.candidates else {v.variant for v in refused if v.needed_bytes}
        return [f"{verdict.variant}: {verdict.reason}" for verdict in refused if verdict.variant in wanted]

    def verdict_bodies(self) -> list[dict[str, Any]]:
        """Return the verdicts for `info`."""
        return [asdict(verdict) for verdict in self.verdicts]

    @property
    def speeds(self) -> dict[str, Speeds]:
        """What was measured of the candidates, by variant."""
        return {one.options.variant: one.options.speeds for one in self.candidates if one.options.speeds}


def outfit(settings: Settings) -> Outfit:
    """Look at the box, find the model, and judge every engine variant.

    Raises:
        ConfigError: there is no such model, or the required variant does not fit.
    """
    bench = look(settings)
    return judge(bench, settings, Calibration(settings.state_dir).speeds(bench))


def look(settings: Settings) -> Bench:
    """Return the box and the model.

    Raises:
        ConfigError: there is no such model.
    """
    facts = probe(settings.state_dir)
    try:
        model = Store(settings.state_dir / "models").resolve(settings.engine.model)
    except ModelError as error:
        raise ConfigError(f"engine.model: {error}") from error
    return Bench(facts, model, threads(facts, settings.engine))


def judge(bench: Bench, settings: Settings, measured: Mapping[str, Speeds]) -> Outfit:
    """Judge every engine variant, with what was measured of them.

    Raises:
        ConfigError: the required variant does not fit.
    """
    verdicts = _sound(choose(bench.facts, bench.model, settings.engine, measured), bench.model)
    if required := settings.engine.require:
        verdict = next(v for v in verdicts if v.variant == required)
        if not verdict.fits:
            raise ConfigError(f"engine.require: {required} cannot run here: {verdict.reason}")
    candidates = tuple(_candidate(verdict, bench, settings) for verdict in verdicts if verdict.fits)
    return Outfit(bench.facts, bench.model, verdicts, candidates)


def _sound(verdicts: tuple[Verdict, ...], model: Model) -> tuple[Verdict, ...]:
    """Refuse, and put last, every variant whose files must not be shown to native code."""
    fault_of = cache(partial(fault_of_variant, model))  # llama.cpp's variants share one file

    def looked_at(verdict: Verdict) -> Verdict:
        stored = model.variant_for(verdict.variant)
        fault = fault_of(stored) if verdict.fits and stored else ""
        return replace(verdict, fits=False, reason=fault) if fault else verdict

    return tuple(sorted(map(looked_at, verdicts), key=lambda verdict: not verdict.fits))


def _candidate(verdict: Verdict, bench: Bench, settings: Settings) -> Candidate:
    model, has_model = bench.model, BY_NAME[verdict.variant].device != "none"
    options = EngineOptions(
        variant=verdict.variant,
        model=model.path_for(verdict.variant) if has_model else None,
        threads=bench.threads,
        slots=verdict.slots,
        context_length=verdict.context_length,
        gpu_uuid=verdict.gpu_uuid,
        cache_tokens=verdict.cache_tokens,
        speculation=settings.engine.speculation,
        speeds=verdict.speeds,
    )
    stored = model.variant_for(verdict.variant)
    sha256 = stored.files[0].sha256 if stored else ""
    guard = ModelGuard(model, stored) if stored and has_model else NO_FILES
    return Candidate(options, EngineBadge(verdict.variant, model.name, sha256), guard)
