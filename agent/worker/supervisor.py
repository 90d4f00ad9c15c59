"""Keeps an engine running: tries the candidates in order, lets each prove itself, restarts what dies.

A crash, a hang or an out-of-memory kill of the worker is an event here, not an end.
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import structlog
import tenacity

from agent.engines.options import EngineFacts
from agent.settings import EngineSettings
from agent.wire.errors import ConfigError, EngineError
from agent.wire.replies import EngineBadge
from agent.worker import process
from agent.worker.frames import FrameError, FromWorker, Generate, Refused, ToWorker
from agent.worker.process import Death, Worker
from agent.worker.start import Candidate, WorkerMissing, start

LOG = structlog.get_logger("promptd.engine")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
STEADY_S = 60.0
"""A worker that lived this long does not count as a failed start."""

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

    def engine_up(self, facts: EngineFacts, badge: EngineBadge) -> None:
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
    ) -> None:
        self._candidates = candidates
        self._misfits = tuple(misfits)
        self._listener = listener
        self._unit_socket = wishes.socket
        self._is_required = bool(wishes.require)
        self._stopping = threading.Event()
        self._worker: Worker | None = None
        self.state = EngineState(wishes.require or wishes.prefer)

    def run(self) -> None:
        """Keep an engine running until `stop`; the body of the supervisor thread.

        Raises:
            ConfigError: `engine.require` names a variant that does not prove itself.
        """
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_DiedYoungError),
            wait=tenacity.wait_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
            sleep=tenacity.sleep_using_event(self._stopping),
            stop=tenacity.stop_when_event_set(self._stopping),
        )
        while not self._stopping.is_set():
            with contextlib.suppress(tenacity.RetryError):
                attempts(self._live)

    def send(self, frame: ToWorker) -> None:
        """Send to the worker; if it is gone `engine_down` follows, and a prompt too large is refused."""
        worker = self._worker
        if worker:
            try:
                worker.channel.send(frame)
            except OSError as error:  # gone, or so stuck that it reads nothing: either way its end
                LOG.debug("engine_does_not_listen", frame=frame.kind, reason=str(error))
                worker.kill()
            except FrameError as error:
                if isinstance(frame, Generate):
                    self._listener.engine_frame(Refused(frame.id, "payload_too_large", str(error)))

    def kill(self, reason: str) -> None:
        """End a worker that does not move any more."""
        LOG.error("engine_killed", reason=reason)
        if worker := self._worker:
            worker.kill()

    def stop(self) -> None:
        """End the worker and let `run` return."""
        self._stopping.set()
        if worker := self._worker:
            worker.channel.close()

    def _live(self) -> None:
        """Start the first candidate that proves itself and serve until it dies."""
        candidate, facts = self._start_first()
        self.state = replace(self.state, phase="ready", reason="", facts=facts, badge=candidate.badge)
        LOG.info(
            "engine_ready", variant=candidate.options.variant, device=facts.device, library=facts.library
        )
        self._listener.engine_up(facts, candidate.badge)
        started_s = time.monotonic()
        death = self._serve()
        if self._stopping.is_set():
            return
        restarts = self.state.restarts + Counter([death.reason.split(" (")[0]])
        self.state = replace(self.state, phase="down", reason=death.reason, restarts=restarts)
        LOG.error("engine_died", reason=death.reason)
        self._listener.engine_down(death)
        if time.monotonic() - started_s < STEADY_S:
            raise _DiedYoungError

    def _serve(self) -> Death:
        worker = self._worker
        if worker is None:
            return Death("stopped")
        with contextlib.suppress(OSError):  # `stop` or `kill` may have closed the stream already
            worker.patience(None)
        try:
            while frame := worker.channel.receive_from_worker():
                self._listener.engine_frame(frame)
        except FrameError as error:
            worker.kill()
            LOG.warning("worker_broke_the_frame_language", reason=str(error))
        self._worker = None
        return worker.bury()

    def _start_first(self) -> tuple[Candidate, EngineFacts]:
        falls = list(self._misfits)
        for candidate in self._candidates:
            variant = candidate.options.variant
            try:
                facts = start(candidate, self._open_worker)
            except WorkerMissing as error:
                self.state = replace(self.state, phase="down", reason=str(error))
                raise _DiedYoungError from error
            except EngineError as error:
                if self._stopping.is_set():
                    raise _DiedYoungError from error
                LOG.warning("engine_fell", variant=variant, reason=str(error))
                falls.append(f"{variant}: {error}")
            else:
                self.state = replace(self.state, falls=tuple(falls))
                return candidate, facts
        raise self._all_fell(falls)

    def _all_fell(self, falls: list[str]) -> Exception:
        reason = "; ".join(falls) or "no variant fits this box; promptd detect tells why"
        was_never_ready = self.state.badge is None
        self.state = replace(self.state, phase="failed", reason=reason, falls=tuple(falls))
        if self._is_required and was_never_ready:
            return ConfigError(f"engine.require: {reason}; choose another variant, or leave it empty")
        return _DiedYoungError()

    def _open_worker(self) -> Worker:
        self._worker = process.connect(self._unit_socket) if self._unit_socket else process.spawn()
        if self._stopping.is_set():  # `stop` may have looked before the worker stood here
            self._worker.channel.close()
        return self._worker
