"""An engine for tests only: it echoes, and ends its own process as a prompt or its model's name says.

`SIGSEGV` (any signal), `exit 0`, `hang`, `hang between tokens`, `garbage`, `bad alloc`: it echoes all else.
The product has no such engine, so nobody can send it a prompt that means death.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence

from agent.engines.contract import Feed, Logits, Tell
from agent.engines.echo import Echo
from agent.engines.options import EngineOptions

GARBAGE = b"\xff" * 64


class Deadly(Echo):
    """Meets its fate in a forward step, in the company of all other sequences."""

    def __init__(self, options: EngineOptions) -> None:
        super().__init__(options)
        self._read: dict[int, str] = {}

    def forward(self, feeds: Sequence[Feed]) -> list[Logits]:
        """Compute as echo does, unless somebody asks for death."""
        for feed in feeds:
            if not feed.start:
                self._read[feed.slot] = bytes(feed.tokens).decode(errors="replace")
                meet(self._read[feed.slot])
            elif self._read[feed.slot] == "hang between tokens":
                meet("hang")
        return super().forward(feeds)


def meet(fate: str) -> None:
    """End this process in a certain way, or do nothing."""
    match fate.split():
        case ["exit", code]:
            os._exit(int(code))
        case ["hang"]:
            threading.Event().wait()
        case ["garbage"]:
            os.write(int(sys.argv[sys.argv.index("--fd") + 1]), GARBAGE)
        case ["bad", "alloc"]:
            sys.stderr.write("a secret word\nterminate called\n  what():  std::bad_alloc\n")
            sys.stderr.flush()
            os.abort()
        case [name] if name in signal.Signals.__members__:
            os.kill(os.getpid(), signal.Signals[name])
            threading.Event().wait()


def open_engine(options: EngineOptions, _tell: Tell | None = None) -> Deadly:
    """Open it, unless the name of the model is a fate."""
    meet(options.model.name if options.model else "")
    return Deadly(options)
