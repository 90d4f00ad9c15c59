"""Notices another client with our id: each of the two takes the link of the other away, again and again."""

SHORT_LIFE_S = 3.0
SHORT_LIVES = 5
"""So many in a row are no accident."""
REST_S = 60.0
"""How long we stay away then: two boxes that fight all day load a broker more than a fleet that works."""


class TakeOvers:
    """Counts links that ended soon after the broker had let us in."""

    def __init__(self) -> None:
        self._short_lives = 0

    def link_ended(self, lived_s: float | None) -> bool:
        """Hear how long a link lived, None if the broker did not let us in; tell whether to stay away."""
        is_short = lived_s is not None and lived_s < SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if is_short else 0
        return self._short_lives >= SHORT_LIVES
