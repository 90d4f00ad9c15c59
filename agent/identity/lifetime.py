"""When a certificate is renewed, and what is wrong with its dates: judged by the clock, touching nothing."""

import datetime as dt
import random
from dataclasses import dataclass

JITTER = 0.05
"""Share of the life by which boxes differ: a fleet that was enrolled in one minute does not renew in one."""
LATEST = 0.95
WARNING_SHARE = 0.1
"""With less than this share of its life left, an operator should look why it was not renewed."""
LEFT_SHARE = 0.1
"""Of the time left, the longest rest: the nearer the end, the more often is asked."""
SHORTEST_REST_S = 1.0


@dataclass(frozen=True, slots=True)
class Lifetime:
    """The life of one certificate."""

    not_before: dt.datetime
    not_after: dt.datetime
    serial_number: int
    """The same at every start, and different for every certificate: the seed of its jitter."""

    def due(self, renew_at: float) -> dt.datetime:
        """Return when the next certificate is asked for."""
        own = random.Random(self.serial_number).uniform(-JITTER, JITTER)  # noqa: S311 -- jitter is no secret
        return self.not_before + (self.not_after - self.not_before) * min(renew_at + own, LATEST)

    def is_over(self, now: dt.datetime) -> bool:
        """Tell whether a broker would refuse it."""
        return now >= self.not_after

    def days_left(self, now: dt.datetime) -> float:
        """Return how many days are left, below zero when it is over."""
        return (self.not_after - now) / dt.timedelta(days=1)

    def longest_rest_s(self, now: dt.datetime) -> float:
        """Return how long one may rest before asking again; what is over is in no hurry any more."""
        left_s = (self.not_after - now).total_seconds()
        return max(SHORTEST_REST_S, left_s * LEFT_SHARE) if left_s > 0 else float("inf")

    def trouble(self, now: dt.datetime) -> str:
        """Return what an operator should mend; empty when all is well."""
        if now < self.not_before:
            return (
                f"the clock of this box says {now:%Y-%m-%d %H:%M} UTC, but its certificate begins "
                f"{self.not_before:%Y-%m-%d %H:%M}; set the clock"
            )
        if self.is_over(now):
            return f"the certificate is over since {self.not_after:%Y-%m-%d %H:%M} UTC; enrol this box again"
        if self.not_after - now < (self.not_after - self.not_before) * WARNING_SHARE:
            left = self.days_left(now)
            return f"the certificate is good for {left:.1f} more days, and was not renewed"
        return ""
