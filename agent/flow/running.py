"""A prompt in its slot, as the dispatcher sees it."""

import time
from dataclasses import dataclass, field

from agent.flow.entries import Entry
from agent.flow.storage import now_s
from agent.worker.frames import Finished, Generate, Progress, Refused


@dataclass(slots=True)
class Running:
    """What is known of a prompt between its claim and its ending."""

    entry: Entry
    claimed_s: float = field(default_factory=now_s)
    pieces: list[str] = field(default_factory=list)
    chars: int = 0
    """Of all text that came, also of text that nobody wants any more."""
    chunks: int = 0
    has_begun: bool = False
    """Its first token has come."""
    ended_s: float | None = None
    """When its ending was written, while the slot is still held until the worker lets go."""

    @property
    def is_ended(self) -> bool:
        """Whether its ending is written."""
        return self.ended_s is not None

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

    def frame(self) -> Generate:
        """Return what the worker has to know."""
        prompt = self.entry.prompt
        return Generate(
            id=self.name,
            messages=prompt.messages,
            text=prompt.text,
            max_tokens=prompt.max_tokens,
            sampling=prompt.sampling,
            stop=prompt.stop,
            grammar=prompt.grammar,
            deterministic=prompt.deterministic,
        )

    def hear(self, frame: Progress | Finished | Refused) -> None:
        """Note what came, before anybody looks at it."""
        self.has_begun = True
        self.chars += 0 if isinstance(frame, Refused) else len(frame.text)


def wall_clock_s() -> int:
    """Return the time of day for `created`, whole seconds since 1970."""
    return int(time.time())
