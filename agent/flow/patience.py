"""How long the worker may be silent while prompts run: it is judged by what it says, not by being there."""

import time
from collections.abc import Callable, Collection

from agent.flow.running import Running
from agent.worker.death import Death

FIRST_TOKEN_S, NEXT_TOKEN_S = 120.0, 30.0
"""Without a sign of life: while a prompt is read, and while every prompt has its first token already."""
STEPS = 10
"""On a slow box the worker may be silent for so many of its steps."""
CHUNK_TOKENS = 256
"""The most of a prompt that enters in one step; none of it takes longer than a token of an answer."""
SILENT_S, SILENT_STEPS = 5.0, 3
"""After so long, and so many steps, an engine is not called ready any more."""
FADING = 0.98
"""What is left of the longest step with each frame that comes sooner."""


class Patience:
    """One clock for all prompts. Every frame is a sign of life; the longest steps lengthen the limits."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._heard_s = clock_s()
        self._reading_s = self._writing_s = 0.0

    @property
    def silence_s(self) -> float:
        """Seconds since the worker last said anything."""
        return self._clock_s() - self._heard_s

    def restart(self, step_s: float) -> None:
        """Hear that a new worker serves; `step_s` is what a step took so far, 0 if nobody knows."""
        self._reading_s, self._writing_s = 0.0, step_s
        self.wait()

    def wait(self) -> None:
        """Expect a sign of life from now on; nothing ran before."""
        self._heard_s = self._clock_s()

    def hear(self, running: Collection[Running]) -> None:
        """Take a sign of life; how long it took tells how long a step takes here."""
        if is_reading(running):
            self._reading_s = max(self.silence_s, self._reading_s * FADING)
        elif running:
            self._writing_s = max(self.silence_s, self._writing_s * FADING)
        self.wait()

    def limit_s(self, *, reading: bool) -> float:
        """Return how long the worker may be silent."""
        if reading:
            return max(FIRST_TOKEN_S, STEPS * self._reading_s, CHUNK_TOKENS * self._writing_s)
        return max(NEXT_TOKEN_S, STEPS * self._writing_s)

    def trouble(self, running: Collection[Running]) -> str:
        """Return in one sentence that it is too quiet for an engine that is well; empty if it is not."""
        step_s = self._reading_s if is_reading(running) else self._writing_s
        is_silent = running and self.silence_s > max(SILENT_S, SILENT_STEPS * step_s)
        return f"no sign of life from the engine {_doing(running)}" if is_silent else ""

    def hang(self, running: Collection[Running]) -> Death | None:
        """Return what a worker dies of that is silent for too long, or keeps a slot that it should let go."""
        if running and self.silence_s > self.limit_s(reading=is_reading(running)):
            return Death(f"hang {_doing(running)}", f"no sign of life for {self.silence_s:.0f} s")
        letting_go_s = self.limit_s(reading=True)
        if any(one.ended_s and self._clock_s() - one.ended_s > letting_go_s for one in running):
            return Death("hang after a cancellation", f"the slot was not let go for {letting_go_s:.0f} s")
        return None


def is_reading(running: Collection[Running]) -> bool:
    """Tell whether somebody waits for a first token."""
    return not all(one.has_begun for one in running)


def _doing(running: Collection[Running]) -> str:
    return "while it read a prompt" if is_reading(running) else "between tokens"
