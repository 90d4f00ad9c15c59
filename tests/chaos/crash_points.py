"""Runs the agent with a trap: it kills itself at a named point, so that every step of a prompt is a last one.

    python -m chaos.crash_points "after Ledger.accept" 3 run --config FILE

No line of the product knows of this: methods are wrapped before the command line begins.
"""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from paho.mqtt.client import Client

from agent import cli
from agent.flow.ledger import Ledger
from agent.mqtt.broker import Broker
from agent.worker.supervisor import Supervisor

POINTS = (
    "before Ledger.accept",
    "before COMMIT",
    "after COMMIT",
    "after Ledger.accept",
    "after Client.ack",
    "after Ledger.claim",
    "after Supervisor.send",
    "before Ledger.finish",
    "after Ledger.finish",
    "after Broker.publish",
    "before Ledger.delivered",
    "after Ledger.delivered",
)
"""In the order of a prompt's life: the crash points of the failure table in docs/reliability.md."""
THIRD_CRASH = "after Supervisor.send"
OWNERS = {"Ledger": Ledger, "Client": Client, "Supervisor": Supervisor, "Broker": Broker}


@dataclass(slots=True)
class Trap:
    """Counts down at its point."""

    point: str
    left: int
    kill: Callable[[], None] = field(default=lambda: os.kill(os.getpid(), signal.SIGKILL))

    def wrap(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method with the trap before and after it."""

        def wrapped(*given: Any, **named: Any) -> Any:  # noqa: ANN401 -- as the method's
            counts = _counts(name, given)
            if counts:
                self._pass(f"before {name}")
            result = method(*given, **named)
            if counts:
                self._pass(f"after {name}")
            return result

        return wrapped

    def _pass(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if not self.left:
                self.kill()


def _counts(name: str, given: tuple[Any, ...]) -> bool:
    """Leave out what is no step of a prompt: reports are published, too."""
    if name == "Broker.publish":
        return bool(given[1].qos == 1 and not given[1].retain)
    return name != "COMMIT" or given[1:] == ("COMMIT",)


def arm(trap: Trap) -> None:
    """Set the trap in this process."""
    name = trap.point.split()[1]
    if name == "COMMIT":
        execute = trap.wrap(name, sqlite3.Connection.execute)
        kind = type("Trapped", (sqlite3.Connection,), {"execute": execute})
        sqlite3.connect = partial(sqlite3.connect, factory=kind)  # type: ignore[assignment]  # as it is called
    else:
        owner, method = name.split(".")
        setattr(OWNERS[owner], method, trap.wrap(name, getattr(OWNERS[owner], method)))


def main() -> None:
    """Take the point and the count off the command line, and run the agent with the rest."""
    point, count = sys.argv[1:3]
    del sys.argv[1:3]
    arm(Trap(point, int(count)))
    cli.main()


if __name__ == "__main__":
    main()
