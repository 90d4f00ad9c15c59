"""How a worker becomes an engine to trust: it loads, runs where it should, and answers a short prompt."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.engines.options import EngineFacts, EngineOptions
from agent.engines.table import BY_NAME
from agent.wire.errors import EngineError
from agent.wire.prompt import Message, Sampling
from agent.wire.replies import EngineBadge
from agent.worker.frames import Broken, Finished, FrameError, Generate, Load, Loaded, Refused
from agent.worker.process import Worker

LOAD_TIMEOUT_S = 300.0
PROOF_TIMEOUT_S = 120.0
PROOF = Generate("proof", (Message("user", "hello"),), "", 8, Sampling(), ())


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run the model."""

    options: EngineOptions
    badge: EngineBadge


class WorkerMissing(EngineError):
    """There is no worker to start an engine in; that says nothing about the engine."""


def start(candidate: Candidate, open_worker: Callable[[], Worker]) -> EngineFacts:
    """Open a worker, load the engine and let it prove itself.

    Raises:
        WorkerMissing: there is no worker.
        EngineError: it did not, and why; the worker is gone.
    """
    try:
        worker = open_worker()
    except OSError as error:
        raise WorkerMissing(f"no engine worker: {error}; is promptd-engine.service running?") from error
    try:
        facts = _load(worker, candidate)
        _prove(worker, candidate, facts)
    except (EngineError, FrameError, OSError) as error:
        death = worker.bury()
        raise EngineError(death.reason if isinstance(error, OSError) else str(error)) from error
    return facts


def _load(worker: Worker, candidate: Candidate) -> EngineFacts:
    worker.patience(LOAD_TIMEOUT_S)
    worker.channel.send(Load(candidate.options, BY_NAME[candidate.options.variant].module))
    match worker.channel.receive_from_worker():
        case Loaded(facts=facts):
            return facts
        case Broken(reason=reason):
            raise EngineError(reason)
        case _:
            raise EngineError(f"died while it loaded: {worker.bury().reason}")


def _prove(worker: Worker, candidate: Candidate, facts: EngineFacts) -> None:
    """Demand the wanted device, and real tokens from it."""
    wanted = BY_NAME[candidate.options.variant].device
    if facts.device != wanted:
        raise EngineError(f"runs on {facts.device} instead of {wanted}")
    worker.patience(PROOF_TIMEOUT_S)
    worker.channel.send(PROOF)
    while frame := worker.channel.receive_from_worker():
        match frame:
            case Finished(tokens=tokens) if tokens:
                return
            case Finished():
                raise EngineError("answered a short prompt with nothing")
            case Broken(reason=reason) | Refused(message=reason):
                raise EngineError(reason)
    raise EngineError(f"died while it answered a short prompt: {worker.bury().reason}")
