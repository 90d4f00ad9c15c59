"""Counts what happened and remembers how long it took, for the health report."""

import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

WINDOW = 512


@dataclass(frozen=True, slots=True)
class Sample:
    """What one answered prompt cost."""

    first_token_ms: float
    total_ms: float
    run_ms: float
    tokens: int
    """Of the answer."""
    prompt_tokens_per_s: float | None
    decode_tokens_per_s: float | None


@dataclass(frozen=True, slots=True)
class Experience:
    """What the last answers were like."""

    answers: int
    run_ms: float
    """The mean time a prompt spends in its slot."""
    tokens: float
    """The mean length of an answer."""


class Meter:
    """Safe to use from every thread; never holds a prompt or an answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._samples: deque[Sample] = deque(maxlen=WINDOW)

    def count(self, what: str) -> None:
        """Count one event: `accepted`, `duplicates`, ..."""
        with self._lock:
            self._counts[what] += 1

    def completed(self, sample: Sample) -> None:
        """Count an answer."""
        with self._lock:
            self._counts["completed"] += 1
            self._samples.append(sample)

    def failed(self, code: str) -> None:
        """Count an ending without an answer."""
        with self._lock:
            self._failed[code] += 1

    def experience(self) -> Experience | None:
        """Return what the last answers were like; None before the first one."""
        with self._lock:
            samples = list(self._samples)
        if not samples:
            return None
        count = len(samples)
        run_ms, tokens = sum(s.run_ms for s in samples) / count, sum(s.tokens for s in samples) / count
        return Experience(count, run_ms, tokens)

    def requests(self) -> dict[str, Any]:
        """Return the `requests` part of the health report."""
        with self._lock:
            names = ("accepted", "completed", "duplicates", "refused_response_topic", "refused_retained")
            return {name: self._counts[name] for name in names} | {"failed": dict(self._failed)}

    def speed(self) -> dict[str, Any]:
        """Return the `speed` part of the health report, over the last answers."""
        with self._lock:
            samples = list(self._samples)
        return {
            "decode_tokens_per_s": _quantiles(s.decode_tokens_per_s for s in samples),
            "prompt_tokens_per_s": _quantiles(s.prompt_tokens_per_s for s in samples),
            "first_token_ms": _quantiles(s.first_token_ms for s in samples),
            "total_ms": _quantiles(s.total_ms for s in samples),
            "window": len(samples),
        }


def _quantiles(values: Iterable[float | None]) -> dict[str, float] | None:
    ordered = sorted(value for value in values if value is not None)
    if not ordered:
        return None
    return {f"p{q}": round(ordered[min(len(ordered) - 1, len(ordered) * q // 100)], 1) for q in (50, 95, 99)}
