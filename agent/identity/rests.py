"""How long a box waits before it asks again: soon for what passes, rarely for what a person must mend."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rests:
    """Rests that grow, in seconds. All are jittered: a whole batch may be switched on by one fuse."""

    unanswered_s: float = 5.0
    longest_unanswered_s: float = 300.0
    refused_s: float = 600.0
    longest_refused_s: float = 3600.0

    def when_unanswered(self) -> Iterator[float]:
        """Return the rests while no answer comes."""
        return _growing(self.unanswered_s, self.longest_unanswered_s)

    def when_refused(self) -> Iterator[float]:
        """Return the rests after refusals that no time mends."""
        return _growing(self.refused_s, self.longest_refused_s)


def jittered(rest_s: float) -> float:
    """Return at least `rest_s` and at most half as much again."""
    return random.uniform(rest_s, 1.5 * rest_s)  # noqa: S311 -- jitter is no secret


def _growing(first_s: float, longest_s: float) -> Iterator[float]:
    for doublings in itertools.count():
        yield jittered(min(longest_s, first_s * 2.0 ** min(doublings, 32)))
