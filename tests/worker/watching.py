"""How the tests of this room start workers and hear of them."""

import os
import queue
import select
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from agent.engines.options import EngineOptions
from agent.models.store import Store
from agent.wire.prompt import Message, Sampling
from agent.wire.replies import EngineBadge
from agent.worker.death import Death
from agent.worker.frames import Finished, FromWorker, Generate
from agent.worker.start import Candidate, Proven

PATIENCE_S = 30.0


def demo_weights(variant: str) -> Path | None:
    return None if variant == "echo" else Store(Path("none")).resolve("demo").path_for(variant)


def candidate(variant: str, model: Path | None = None, slots: int = 2) -> Candidate:
    weights = model or demo_weights(variant)
    options = EngineOptions(variant, weights, threads=1, slots=slots, context_length=512)
    return Candidate(options, EngineBadge(variant, "demo", ""))


def has_ended(pid: int, timeout_s: float = 5.0) -> bool:
    """Wait for the end of any process, also one that is no child of ours."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ended, _, _ = select.select([process], [], [], timeout_s)
        return bool(ended)
    finally:
        os.close(process)


def asking(name: str, text: str, max_tokens: int | None = 100) -> Generate:
    return Generate(name, (Message("user", text),), "", max_tokens, Sampling(), ())


Wanted = TypeVar("Wanted")

Heard = Proven | FromWorker | Death


class Witness:
    """Hears of the engine as the dispatcher would, and lets a test wait for what it expects."""

    def __init__(self) -> None:
        self._heard: queue.Queue[Heard] = queue.Queue()

    def engine_up(self, proven: Proven) -> None:
        self._heard.put(proven)

    def engine_frame(self, frame: FromWorker) -> None:
        self._heard.put(frame)

    def engine_down(self, death: Death) -> None:
        self._heard.put(death)

    def next(self, timeout_s: float = PATIENCE_S) -> Heard:
        return self._heard.get(timeout=timeout_s)

    def wait_for_up(self) -> Proven:
        return self._wait(lambda heard: heard if isinstance(heard, Proven) else None)

    def wait_for_death(self) -> Death:
        return self._wait(lambda heard: heard if isinstance(heard, Death) else None)

    def wait_for_end(self, name: str) -> Finished:
        return self._wait(lambda heard: heard if isinstance(heard, Finished) and heard.id == name else None)

    def _wait(self, wanted: Callable[[Heard], Wanted | None]) -> Wanted:
        while True:
            if (found := wanted(self.next())) is not None:
                return found
