"""How many new prompts one requester may send: a token bucket for each (`queue.rate_per_minute`)."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_REQUESTERS = 4096
"""Requesters that are remembered; who is forgotten begins anew with a full bucket."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    seen_s: float


class Rate:
    """Safe to use from every thread. A full bucket holds the prompts of one minute."""

    def __init__(self, per_minute: int, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock_s = clock_s
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def wait_ms(self, requester: str) -> int:
        """Return how long this requester must wait before its next prompt; 0 when it need not."""
        with self._lock:
            missing = 1 - self._filled(requester).tokens
        return max(0, math.ceil(missing / self._per_minute * 60_000)) if self._per_minute else 0

    def take(self, requester: str) -> None:
        """Count a prompt."""
        with self._lock:
            self._filled(requester).tokens -= 1

    def _filled(self, requester: str) -> _Bucket:
        now_s = self._clock_s()
        bucket = self._buckets.pop(requester, None) or _Bucket(self._per_minute, now_s)
        gained = (now_s - bucket.seen_s) * self._per_minute / 60
        bucket.tokens, bucket.seen_s = min(self._per_minute, bucket.tokens + gained), now_s
        self._buckets[requester] = bucket
        while len(self._buckets) > MAX_REQUESTERS:
            self._buckets.popitem(last=False)
        return bucket
