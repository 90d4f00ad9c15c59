"""Notices another client with our id: each of the two takes the link of the other away, again and again."""

import random

SHORT_LIFE_S = 1.5
ACCIDENTS = 3
"""So many short lives in a row can happen."""
LONGEST_REST_S = 60.0
"""Two boxes that fight all day load a broker more than a fleet that works."""


class TakeOvers:
    """Counts links that ended soon after the broker had let us in, and stays away longer with each."""

    def __init__(self) -> None:
        self._short_lives = 0

    def rest_s(self, lived_s: float | None) -> float:
        """Hear how long a link lived, None if that says nothing; return how long to stay away, mostly 0."""
        is_short = lived_s is not None and lived_s < SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if is_short else 0
        if self._short_lives <= ACCIDENTS:
            return 0.0
        most_s = min(LONGEST_REST_S, 2.0 ** (self._short_lives - ACCIDENTS))
        return random.uniform(most_s / 2, most_s)  # noqa: S311 -- jitter is no secret
