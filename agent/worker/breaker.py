"""When to stop trying: a candidate that kills its workers is left out, an engine that keeps dying rests.

A library that crashes while it loads would otherwise cost every later restart its time, and an engine that
dies again and again would burn the box while every prompt waits (docs/decisions/0009).
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.worker.death import Death
from agent.worker.start import Candidate

MOST_FALLS = 3
"""Deaths of a candidate before it was proven; with them it is left out until promptd starts anew."""
MOST_DEATHS, WINDOW_S = 5, 60.0
"""Deaths of proven engines within the window; with one more the engine rests."""
PAUSE_S = 60.0
STEADY_S = 60.0
"""A worker that lived this long does not count as a failed start."""

Key = tuple[str, Path | None]


class Breaker:
    """Counts deaths and nothing else: what was refused with a reason costs little and may be mended."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._falls: dict[Key, tuple[int, Death]] = {}
        self._deaths: deque[float] = deque()
        self._rests = False
        self._nobody_runs = False
        self._is_on_trial = False

    def rests(self) -> bool:
        """Tell whether a pause is due before anything is tried again."""
        return self._rests or self._nobody_runs

    def admit(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return whom to try now: whoever is not left out, or everybody when nobody else runs.

        An engine that had to rest is on trial from now on: its next death makes it rest again.
        """
        tries_all, self._nobody_runs = self._nobody_runs, False
        self._is_on_trial, self._rests = self._is_on_trial or self._rests, False
        return [one for one in candidates if tries_all or not self.leaves_out(one)]

    def all_fell(self, candidates: Sequence[Candidate]) -> None:
        """Hear that nobody runs: whoever is left out gets another chance, but not before a pause."""
        self._nobody_runs = any(map(self.leaves_out, candidates))

    def leaves_out(self, candidate: Candidate) -> bool:
        """Tell whether this candidate has killed too many workers."""
        times, _ = self._falls.get(_key(candidate), (0, None))
        return times >= MOST_FALLS

    def fell(self, candidate: Candidate, death: Death) -> None:
        """Count a death before the proof."""
        times, _ = self._falls.get(_key(candidate), (0, None))
        self._falls[_key(candidate)] = times + 1, death

    def verdict(self, candidate: Candidate) -> str:
        """Return what the operator should know of a candidate that fell."""
        times, death = self._falls[_key(candidate)]
        if not self.leaves_out(candidate):
            return death.reason
        return (
            f"died {times} times, at last: {death.reason}; "
            "left out until promptd is started again or nothing else runs"
        )

    def proved(self, candidate: Candidate) -> None:
        """Forget what was held against a candidate that runs."""
        self._falls.pop(_key(candidate), None)

    def died(self, lived_s: float) -> int:
        """Count the death of a proven engine; return how many deaths make it rest now, or 0."""
        now_s = self._clock_s()
        if lived_s >= STEADY_S:
            self._is_on_trial = False
        self._deaths.append(now_s)
        while self._deaths[0] < now_s - WINDOW_S:
            self._deaths.popleft()
        self._rests = self._is_on_trial or len(self._deaths) > MOST_DEATHS
        return len(self._deaths) if self._rests else 0


def _key(candidate: Candidate) -> Key:
    return candidate.options.variant, candidate.options.model
