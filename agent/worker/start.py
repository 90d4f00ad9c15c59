"""How a worker becomes an engine to trust: it loads, runs where it should, and answers a short prompt."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.engines.options import EngineFacts, EngineOptions
from agent.engines.table import BY_NAME
from agent.wire.errors import EngineError
from agent.wire.prompt import Message, Sampling
from agent.wire.replies import EngineBadge
from agent.worker.death import BREACH, Death, clipped
from agent.worker.frames import (
    TOLD_CHARS,
    Alive,
    Broken,
    Finished,
    FrameError,
    FromWorker,
    Generate,
    Load,
    Loaded,
    Loading,
    Progress,
    Refused,
)
from agent.worker.process import Worker

LOAD_TIMEOUT_S = 300.0
"""Without any progress. llama.cpp tells how far it is; of ONNX Runtime nothing is heard until it is done."""
SLOWEST_BYTES_PER_S = 10_000_000
"""What a poor memory card reads. llama.cpp maps a whole file before it tells anything of its progress."""
PROOF_TIMEOUT_S = 300.0
"""The first prompt of all reads weights that were only mapped so far: it is a part of loading."""
PROOF = Generate("proof", (Message("user", "hello"),), "", 8, Sampling(), ())


class Guard(Protocol):
    """Who answers for the files that native code is about to read."""

    def admit(self, idle: Callable[[], None]) -> str:
        """Return why native code must not see them; empty when it may. `idle` is called now and then."""

    def changed(self) -> str:
        """Return which of them is not the one any more that was admitted; empty when all are."""


class _NoFiles:
    """The guard of an engine that reads none."""

    def admit(self, _idle: Callable[[], None]) -> str:
        """Return nothing."""
        return ""

    def changed(self) -> str:
        """Return nothing."""
        return ""


NO_FILES: Guard = _NoFiles()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run the model."""

    options: EngineOptions
    badge: EngineBadge
    guard: Guard = NO_FILES


@dataclass(frozen=True, slots=True)
class Proven:
    """An engine that has answered a short prompt on the device it was promised for."""

    facts: EngineFacts
    badge: EngineBadge
    step_s: float = 0.0
    """How long a step took, as seen from here; 0 when the answer was one token."""


class WorkerMissing(EngineError):
    """There is no worker to start an engine in; that says nothing about the engine."""


class ModelChanged(EngineError):
    """A file was changed while it was loaded; that says nothing of what lies there now."""


class WorkerDied(EngineError):
    """The worker ended before its engine was proven: not a refusal, but a crash, a hang or nonsense."""

    def __init__(self, death: Death) -> None:
        super().__init__(death.reason)
        self.death = death


def start(
    candidate: Candidate, open_worker: Callable[[], Worker], idle: Callable[[], None] = lambda: None
) -> Proven:
    """Check the files, open a worker, load the engine and let it prove itself; `idle` is called meanwhile.

    Raises:
        WorkerMissing: there is no worker.
        WorkerDied: it crashed, hung or spoke nonsense; the worker is gone.
        ModelChanged: a file was swapped meanwhile; the worker is gone.
        EngineError: its files are not to be trusted, or it did not prove itself, and why; the worker is gone.
    """
    if fault := candidate.guard.admit(idle):
        raise EngineError(fault)
    try:
        worker = open_worker()
    except OSError as error:
        raise WorkerMissing(f"no engine worker: {error}; is promptd-engine.service running?") from error
    worker.channel.idle = idle
    with _watched(worker, "while it loaded"):
        facts = _load(worker, candidate.options)
    with _watched(worker, "while it answered a short prompt"):
        step_s = _prove(worker, candidate, facts)
        if change := candidate.guard.changed():  # weights that are only mapped are read as late as here
            raise ModelChanged(change)
    return Proven(facts, candidate.badge, step_s)


@contextlib.contextmanager
def _watched(worker: Worker, step: str) -> Iterator[None]:
    """Turn every way in which a worker can end during this step into one error with its cause."""
    try:
        yield
    except EngineError:
        worker.bury()
        raise
    except TimeoutError:
        worker.kill(Death("hang"))
    except FrameError as error:
        worker.kill(Death(BREACH, str(error)))
    except (OSError, EOFError):
        pass  # it hung up; `bury` finds out why
    else:
        return
    raise WorkerDied(worker.bury().during(step))


def _load(worker: Worker, options: EngineOptions) -> EngineFacts:
    worker.patience(max(LOAD_TIMEOUT_S, _size_bytes(options.model) / SLOWEST_BYTES_PER_S))
    worker.channel.send(Load(options, BY_NAME[options.variant].module))
    share = 0.0
    while True:
        match _next(worker):
            case Loading(share=further) if further > share:
                share = further
            case Loaded(facts=facts) if facts.slots <= options.slots:
                return facts
            case Broken(reason=reason):
                raise EngineError(clipped(reason, TOLD_CHARS))
            case frame:
                raise FrameError(f"{frame.kind} makes no sense here")


def _prove(worker: Worker, candidate: Candidate, facts: EngineFacts) -> float:
    """Demand the wanted device, and real tokens from it; return how long one of them took."""
    wanted = BY_NAME[candidate.options.variant].device
    if facts.device != wanted:
        raise EngineError(f"runs on {clipped(facts.device)} instead of {wanted}")
    worker.patience(PROOF_TIMEOUT_S)
    worker.channel.send(PROOF)
    first_s = 0.0
    while True:
        match _next(worker):
            case Alive():
                continue
            case Progress(id=PROOF.id):
                first_s = first_s or time.monotonic()
            case Finished(id=PROOF.id, tokens=tokens) if tokens:
                return (time.monotonic() - first_s) / (tokens - 1) if first_s and tokens > 1 else 0.0
            case Finished(id=PROOF.id):
                raise EngineError("answered a short prompt with nothing")
            case Broken(reason=reason) | Refused(message=reason):
                raise EngineError(clipped(reason, TOLD_CHARS))
            case frame:
                raise FrameError(f"{frame.kind} makes no sense here")


def _next(worker: Worker) -> FromWorker:
    frame = worker.receive()
    if frame is None:
        raise EOFError
    return frame


def _size_bytes(model: Path | None) -> int:
    """Return the size of a model file, or of a folder with everything in it; what is missing has none."""
    if model is None:
        return 0
    files = model.rglob("*") if model.is_dir() else [model]
    return sum(file.stat().st_size for file in files if file.is_file())
