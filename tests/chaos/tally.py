"""What a requester found in the end, and what a scenario makes of it."""

import math
from collections import Counter
from dataclasses import dataclass, field

CALM = frozenset({"completed"})


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of one requester, or of several together."""

    expected: int = 0
    answered: int = 0
    different: int = 0
    """Requests that heard two different answers."""
    wrong: int = 0
    """Requests whose answer is not the one that the engine must give."""
    duplicates: int = 0
    """Answers beyond the first of a request, as they came over the wire."""
    repeats: int = 0
    """Sendings of a request beyond its first: each may bring the stored answer once more."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """First answers: `completed`, or the code of an error."""

    @property
    def lost(self) -> int:
        """Requests that were never answered."""
        return self.expected - self.answered

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.expected + other.expected,
            self.answered + other.answered,
            self.different + other.different,
            self.wrong + other.wrong,
            self.duplicates + other.duplicates,
            self.repeats + other.repeats,
            self.outcomes + other.outcomes,
        )

    def complaints(self, allowed: frozenset[str] = CALM) -> list[str]:
        """Return what must never be, in words; `allowed` are the outcomes that a fault may bring."""
        found = [
            (self.lost, "never answered"),
            (self.different, "answered with two different contents"),
            (self.wrong, "answered with something else"),
            *((count, f"ended as {code}") for code, count in self.outcomes.items() if code not in allowed),
        ]
        return [f"{count} {words}" for count, words in found if count]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one scenario."""

    tried: int
    tally: Tally
    complaints: tuple[str, ...] = ()
    """What must never be, however slow the machine is; empty when the promise was kept."""
    delays: tuple[str, ...] = ()
    """Times that were missed: a machine that does something else besides may be the reason."""
    recoveries_s: tuple[float, ...] = ()
    """From each repair to the answer of a request that was sent right after it."""

    @property
    def unmet(self) -> tuple[str, ...]:
        """Where the goal is not met; empty when it is."""
        return (*self.complaints, *self.delays)

    @property
    def worst_s(self) -> float:
        """The longest recovery; not a number where nothing had to recover."""
        return max(self.recoveries_s, default=math.nan)


def late(recoveries_s: list[float], limit_s: float) -> list[str]:
    """Say it if a recovery took longer than its goal."""
    slow = [recovery_s for recovery_s in recoveries_s if limit_s < recovery_s < math.inf]
    if not slow:
        return []
    return [
        f"{len(slow)} of {len(recoveries_s)} recoveries over {limit_s:g} s, the worst took {max(slow):.1f} s"
    ]
