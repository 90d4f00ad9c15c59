"""What one loop does again and again, each at its own interval."""

import time
from collections.abc import Callable


class Rounds:
    """Calls what is due; the first time after one interval."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._chores: list[tuple[float, Callable[[], None]]] = []
        self._done_s: list[float] = []

    def add(self, interval_s: float, chore: Callable[[], None]) -> None:
        """Do this every `interval_s` seconds from now on; 0 is at every call of `go`."""
        self._chores.append((interval_s, chore))
        self._done_s.append(self._clock_s())

    def go(self) -> None:
        """Do what is due, in the order of `add`."""
        for index, (interval_s, chore) in enumerate(self._chores):
            if self._clock_s() - self._done_s[index] >= interval_s:
                chore()
                self._done_s[index] = self._clock_s()
