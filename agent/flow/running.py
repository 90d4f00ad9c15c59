"""A prompt in its slot, as the dispatcher sees it."""

import time
from dataclasses import dataclass, field

from agent.flow.ledger import Entry
from agent.flow.storage import now_s


@dataclass(slots=True)
class Running:
    """What is known of a prompt between its claim and its ending."""

    entry: Entry
    claimed_s: float = field(default_factory=now_s)
    pieces: list[str] = field(default_factory=list)
    chunks: int = 0
    is_ended: bool = False
    """Its ending is written; the slot is still held until the worker lets go."""

    @property
    def name(self) -> str:
        """How the worker calls this prompt; ids of requesters may repeat."""
        return str(self.entry.number)

    @property
    def queue_ms(self) -> float:
        """From receipt to claim."""
        return (self.claimed_s - self.entry.received_s) * 1000

    @property
    def total_ms(self) -> float:
        """From receipt to now."""
        return (now_s() - self.entry.received_s) * 1000


def wall_clock_s() -> int:
    """Return the time of day for `created`, whole seconds since 1970."""
    return int(time.time())
