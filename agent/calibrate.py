"""`promptd calibrate`: measures every engine variant that fits this box, and says what the figures change."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from agent.engines.options import Speeds
from agent.hardware.calibration import Bench, Calibration
from agent.hardware.choice import Verdict
from agent.outfit import Outfit, judge, look
from agent.settings import Settings
from agent.wire.errors import AgentError, ConfigError, EngineError
from agent.worker.frames import Broken, FrameError, Measure, Measured, Measuring
from agent.worker.process import Worker, spawn
from agent.worker.start import Candidate, start

SEQUENCES = (1, 2, 4, 8)
CONTEXT_LENGTH = 512
"""Enough for what is measured: so eight slots find room where they would not with the usual context."""
SILENCE_S = 300.0
"""How long one point of the measurement may take; only an engine that hangs takes longer."""

Tell = Callable[[float], None]
"""Called with the share that is done, 0 to 1."""
Watch = Callable[[str], AbstractContextManager[Tell]]
"""Given a variant, a context in which its measurement tells how far it is."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one variant."""

    variant: str
    speeds: Speeds | None
    notes: tuple[str, ...]
    """Why there are no speeds, or what kept them from being measured as usual."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured, and how the box was judged before and after."""

    findings: tuple[Finding, ...]
    before: Outfit
    after: Outfit


def calibrate(settings: Settings, watch: Watch, variant: str = "") -> Outcome:
    """Measure every variant that fits, or the one that is named, and remember the figures.

    Raises:
        ConfigError: the named variant does not fit, or the figures cannot be written.
        AgentError: nothing fits.
    """
    bench, calibration = look(settings), Calibration(settings.state_dir)
    before = judge(bench, settings, calibration.speeds(bench))
    wanted = _wanted(before.verdicts, variant)
    trials = [one for one in _trials(bench, settings) if one.options.variant in wanted]
    findings = []
    for trial in trials:
        with watch(trial.options.variant) as tell:
            findings.append(_examine(trial, tell))
    measured = {one.variant: one.speeds for one in findings if one.speeds}
    _remember(calibration, bench, measured, settings.state_dir)
    after = judge(bench, settings, calibration.speeds(bench))
    return Outcome(tuple(findings), before, after)


def _wanted(verdicts: tuple[Verdict, ...], variant: str) -> set[str]:
    fitting = {verdict.variant for verdict in verdicts if verdict.fits}
    if not variant and not fitting:
        raise AgentError("no variant fits this box, so there is nothing to measure; promptd detect tells why")
    if variant and variant not in fitting:
        reasons = {verdict.variant: verdict.reason for verdict in verdicts}
        why = reasons.get(variant, f"there is no such variant; there are {', '.join(reasons)}")
        raise ConfigError(f"--variant: {variant} cannot be measured: {why}")
    return {variant} if variant else fitting


def _trials(bench: Bench, settings: Settings) -> tuple[Candidate, ...]:
    """Return the candidates as they are measured: many slots, a short context, and nothing known of them."""
    context_length = min(CONTEXT_LENGTH, bench.model.shape.context_length)
    update = {"slots": "auto", "context_length": context_length, "cache_tokens": 0}
    engine = settings.engine.model_copy(update=update)
    return judge(bench, settings.model_copy(update={"engine": engine}), {}).candidates


def _examine(trial: Candidate, tell: Tell) -> Finding:
    variant = trial.options.variant
    try:
        measured = _measure(trial, tell)
    except EngineError as error:
        return Finding(variant, None, (str(error),))
    slots = trial.options.slots
    room = () if slots >= SEQUENCES[-1] else (f"there is no memory for more than {slots} sequences now",)
    return Finding(variant, measured.speeds, (*room, *measured.notes))


def _measure(trial: Candidate, tell: Tell) -> Measured:
    workers: list[Worker] = []

    def open_worker() -> Worker:
        workers.append(spawn())
        return workers[-1]

    try:
        start(trial, open_worker)
        return _ask(workers[-1], tell)
    except (FrameError, OSError) as error:
        raise EngineError(f"broke off: {error}") from error
    finally:
        for worker in workers:
            worker.kill()
            worker.bury()


def _ask(worker: Worker, tell: Tell) -> Measured:
    worker.patience(SILENCE_S)
    worker.channel.send(Measure())
    while frame := worker.receive():
        match frame:
            case Measuring(share=share):
                tell(share)
            case Measured():
                return frame
            case Broken(reason=reason):
                raise EngineError(reason)
    raise EngineError(f"died while it was measured: {worker.bury().reason}")


def _remember(calibration: Calibration, bench: Bench, measured: dict[str, Speeds], state_dir: Path) -> None:
    try:
        calibration.remember(bench, measured)
    except OSError as error:
        raise ConfigError(
            f"cannot write the figures into {state_dir}: {error.strerror}; run this as the user of promptd"
        ) from error
    except ValueError as error:
        raise EngineError(f"a worker measured a speed that cannot be: {error}") from error
