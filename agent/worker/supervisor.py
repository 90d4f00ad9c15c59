"""Keeps an engine running: tries the candidates in order, lets each prove itself, restarts what dies.

A crash, a hang or an out-of-memory kill of the worker is an event here, not an end.
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import structlog
import tenacity

from agent.engines.options import EngineFacts
from agent.settings import EngineSettings
from agent.wire.errors import ConfigError, EngineError
from agent.wire.replies import EngineBadge
from agent.worker import process
from agent.worker.breaker import PAUSE_S, STEADY_S, Breaker
from agent.worker.death import BREACH, Death
from agent.worker.frames import TICK_S, FrameError, FromWorker, Generate, Refused, ToWorker
from agent.worker.process import Worker
from agent.worker.start import Candidate, ModelChanged, Proven, WorkerDied, WorkerMissing, start

LOG = structlog.get_logger("promptd.engine")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0

Phase = Literal["starting", "ready", "down", "failed"]


@dataclass(frozen=True, slots=True)
class EngineState:
    """What `info` and `health` say of the engine."""

    requested: str
    phase: Phase = "starting"
    reason: str = "the engine is being loaded"
    facts: EngineFacts | None = None
    badge: EngineBadge | None = None
    falls: tuple[str, ...] = ()
    """Variants that did not prove themselves, each with its reason."""
    restarts: Counter[str] = field(default_factory=Counter)


class EngineListener(Protocol):
    """Who hears of the engine, on the supervisor's thread."""

    def engine_up(self, proven: Proven) -> None:
        """Hear that prompts can be computed."""

    def engine_frame(self, frame: FromWorker) -> None:
        """Hear what the worker says of a prompt."""

    def engine_down(self, death: Death) -> None:
        """Hear that everything which ran is lost."""


class _DiedYoungError(Exception):
    """The worker died soon after its start, or nothing could be started."""


class Supervisor:
    """Owns the worker process."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        wishes: EngineSettings,
        listener: EngineListener,
        misfits: Sequence[str] = (),
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._candidates = candidates
        self._misfits = tuple(misfits)
        self._listener = listener
        self.beat = beat
        """Called by whoever has the supervisor's thread, as often as it moves."""
        self._unit_socket = wishes.socket
        self._is_required = bool(wishes.require)
        self._breaker = Breaker()
        self._stopping = threading.Event()
        self._worker: Worker | None = None
        """The newest one, whatever it does."""
        self._serving: Worker | None = None
        """The one that is proven and lives."""
        self.state = EngineState(wishes.require or wishes.prefer)

    def run(self) -> None:
        """Keep an engine running until `stop`; the body of the supervisor thread.

        Raises:
            ConfigError: `engine.require` names a variant that is refused at its first start.
        """
        back_off = tenacity.wait_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S)
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_DiedYoungError),
            wait=lambda tries: PAUSE_S if self._breaker.rests() else back_off(tries),
            sleep=self._pause,
            stop=tenacity.stop_when_event_set(self._stopping),
        )
        while not self._stopping.is_set():
            with contextlib.suppress(tenacity.RetryError):
                attempts(self._live)

    def send(self, frame: ToWorker) -> Refused | None:
        """Send to the worker; if it is gone `engine_down` follows. Return the refusal of a large prompt."""
        if worker := self._serving:
            try:
                worker.channel.send(frame)
            except (BlockingIOError, TimeoutError):  # it reads nothing any more
                worker.kill(Death("hang while it was spoken to"))
            except OSError as error:  # it is gone, and `bury` finds out why
                LOG.debug("engine_is_gone", frame=frame.kind, reason=str(error))
                worker.channel.close()
            except FrameError as error:
                if isinstance(frame, Generate):
                    return Refused(frame.id, "payload_too_large", str(error))
        return None

    def kill(self, death: Death) -> None:
        """End a worker that cannot be trusted any more; `engine_down` follows, with this death."""
        LOG.error("engine_killed", reason=death.reason)
        if worker := self._serving:
            worker.kill(death)

    def stop(self) -> None:
        """End the worker and let `run` return."""
        self._stopping.set()
        if worker := self._worker:
            worker.channel.close()

    def _pause(self, duration_s: float) -> None:
        end_s = time.monotonic() + duration_s
        while (left_s := end_s - time.monotonic()) > 0 and not self._stopping.wait(min(left_s, TICK_S)):
            self.beat()

    def _live(self) -> None:
        """Start the first candidate that proves itself and serve until it dies."""
        proven = self._start_first()
        self.state = replace(self.state, phase="ready", reason="", facts=proven.facts, badge=proven.badge)
        LOG.info(
            "engine_ready",
            variant=proven.badge.variant,
            device=proven.facts.device,
            library=proven.facts.library,
        )
        started_s = time.monotonic()
        death = self._serve(proven)
        if self._stopping.is_set():
            return
        lived_s = time.monotonic() - started_s
        self._mourn(death, self._breaker.died(lived_s))
        if lived_s < STEADY_S:
            raise _DiedYoungError

    def _serve(self, proven: Proven) -> Death:
        worker = self._serving = self._worker
        if worker is None:
            return Death("stopped")
        worker.seal()
        self._listener.engine_up(proven)
        with contextlib.suppress(OSError):  # `stop` or `kill` may have closed the stream already
            worker.patience(None)
        try:
            while frame := worker.receive():
                self._listener.engine_frame(frame)
        except FrameError as error:
            worker.kill(Death(BREACH, str(error)))
        self._serving = None
        self.state = replace(self.state, phase="down", reason="the engine has hung up")
        return worker.bury()

    def _mourn(self, death: Death, deaths: int) -> None:
        """Count a death of the engine and tell it; with too many `deaths` it is left alone for a while."""
        self.state = replace(
            self.state,
            phase="failed" if deaths else "down",
            reason=f"{deaths} deaths in a short while, at last: {death.reason}" if deaths else death.reason,
            restarts=self.state.restarts + Counter([death.cause]),
        )
        LOG.error("engine_died", reason=death.reason, rests_s=PAUSE_S if deaths else 0.0)
        self._listener.engine_down(death)

    def _start_first(self) -> Proven:
        trials, breaker = self._breaker.admit(self._candidates), self._breaker
        left_out = [one for one in self._candidates if one not in trials]
        falls = [*self._misfits, *(f"{one.options.variant}: {breaker.verdict(one)}" for one in left_out)]
        has_died = False
        for candidate in trials:
            try:
                proven = start(candidate, self._open_worker, self.beat)
            except (WorkerMissing, ModelChanged) as error:
                self.state = replace(self.state, phase="down", reason=str(error))
                raise _DiedYoungError from error
            except EngineError as error:
                if self._stopping.is_set():
                    raise _DiedYoungError from error
                has_died |= isinstance(error, WorkerDied)
                falls.append(self._fall(candidate, error))
            else:
                breaker.proved(candidate)
                self.state = replace(self.state, falls=tuple(falls))
                return proven
        raise self._all_fell(falls, has_died=has_died)

    def _fall(self, candidate: Candidate, error: EngineError) -> str:
        """Hold a death against the candidate; return why it does not run."""
        reason = str(error)
        if isinstance(error, WorkerDied):
            restarts = self.state.restarts + Counter([error.death.cause])
            self.state = replace(self.state, restarts=restarts)
            self._breaker.fell(candidate, error.death)
            reason = self._breaker.verdict(candidate)
        LOG.warning("engine_fell", variant=candidate.options.variant, reason=reason)
        return f"{candidate.options.variant}: {reason}"

    def _all_fell(self, falls: list[str], *, has_died: bool) -> Exception:
        reason = "; ".join(falls) or "no variant fits this box; promptd detect tells why"
        was_never_ready = self.state.badge is None
        self._breaker.all_fell(self._candidates)
        self.state = replace(self.state, phase="failed", reason=reason, falls=tuple(falls))
        if self._is_required and was_never_ready and not has_died:
            return ConfigError(f"engine.require: {reason}; choose another variant, or leave it empty")
        return _DiedYoungError()

    def _open_worker(self) -> Worker:
        self._worker = process.connect(self._unit_socket) if self._unit_socket else process.spawn()
        if self._stopping.is_set():  # `stop` may have looked before the worker stood here
            self._worker.channel.close()
        return self._worker
