"""What waits to be judged: at most so many requests, and not too fast from one claim."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

CAPACITY = 2000
"""Requests that wait. One more is left unanswered, and its box repeats it after a rest."""
BURST, PER_MINUTE = 500, 1200
"""Requests of one claim or one device. A batch that is switched on by one fuse passes; a box gone mad does
not hold up the others."""
KEPT_SOURCES = 10_000


class Door:
    """Requests in the order they came; what is repeated while it waits, waits once."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._waiting: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self._news = threading.Condition()

    def put(self, topic: str, payload: bytes) -> bool:
        """Let a request in; False when too many wait."""
        with self._news:
            if (topic, payload) not in self._waiting and len(self._waiting) >= self._capacity:
                return False
            self._waiting[topic, payload] = None
            self._news.notify()
            return True

    def take(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Return the next topic and payload, or None when none came in time."""
        with self._news:
            self._news.wait_for(lambda: self._waiting, timeout_s)
            return self._waiting.popitem(last=False)[0] if self._waiting else None


class Rate:
    """Token buckets, one for each claim or device."""

    def __init__(
        self,
        burst: int = BURST,
        per_minute: float = PER_MINUTE,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = burst
        self._per_s = per_minute / 60
        self._clock_s = clock_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, source: str) -> float:
        """Count a request; return 0, or how long its source should wait."""
        now_s = self._clock_s()
        left, seen_s = self._left.pop(source, (float(self._burst), now_s))
        left = min(self._burst, left + (now_s - seen_s) * self._per_s)
        is_allowed = left >= 1
        self._left[source] = (left - 1 if is_allowed else left, now_s)
        if len(self._left) > KEPT_SOURCES:
            self._left.popitem(last=False)
        return 0.0 if is_allowed else (1 - left) / self._per_s
