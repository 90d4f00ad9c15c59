"""Runs the agent with a thread that can be frozen: it stands still as long as a file exists.

    python -m chaos.freezes network 60 FILE run --config FILE

No line of the product knows of this: a method that the thread calls again and again is wrapped. The number is
how many seconds a loop may be late, for trials that cannot wait as long as the product does.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent import app, cli
from agent.flow.storage import Storage
from agent.mqtt.broker import Broker
from agent.worker.process import Worker

THREADS: dict[str, tuple[type, str]] = {
    "network": (Broker, "_turn"),
    "supervisor": (Worker, "receive"),
    "ledger": (Storage, "_commit_waiting"),
}
"""The last one is whoever writes: a disk that never comes back stops that thread, with the ledger's lock."""
POLL_S = 0.05


def frozen_while(sign: Path, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method, which begins only when the file is not there."""

    def wrapped(*given: Any) -> Any:  # noqa: ANN401 -- as the method's
        while sign.exists():
            time.sleep(POLL_S)
        return method(*given)

    return wrapped


def main() -> None:
    """Take the thread, its limit and the file off the command line, and run the agent with the rest."""
    thread, limit_s, sign = sys.argv[1:4]
    del sys.argv[1:4]
    app.NETWORK_LIMIT_S = app.LOOP_LIMIT_S = float(limit_s)
    owner, method = THREADS[thread]
    setattr(owner, method, frozen_while(Path(sign), getattr(owner, method)))
    cli.main()


if __name__ == "__main__":
    main()
