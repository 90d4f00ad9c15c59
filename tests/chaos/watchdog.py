"""The watchdog (G17): an agent with a thread that stands still stops feeding it, and any other goes on.

The harness is systemd here: it binds the notify socket, and asks for a ping every second, so that what it
measures is the limit of the loop and not the interval of the unit. Several agents are in trouble at once.
"""

import contextlib
import itertools
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from agent.app import LOOP_LIMIT_S, NETWORK_LIMIT_S
from chaos.stand import Stand, stand
from chaos.tally import Finding, Tally

WATCHDOG_S = 2.0
"""What the unit would allow; the agent feeds twice as often."""
SLACK_S, SILENCE_S = 10.0, 5.0
"""How late after its limit a loop may be found out, and how long nothing must be heard then."""
LONGEST_S = 10.0
"""Between two pings of an agent that is well; the unit, with WatchdogSec=30, asks for one every 15 s."""
QUICK_S, TROUBLE_S = 3.0, 60.0
"""A limit for those who cannot wait, and how long every other trouble lasts."""
SIDE_BY_SIDE = 10
WINDOW = 2
BACK_S, PATIENCE_S, POLL_S = 60.0, 20.0, 0.02


class Pings:
    """Where an agent feeds its watchdog; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path := str(folder / "notify"))
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self.heard_s: list[float] = []
        self.environment = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))}

    def __enter__(self) -> Self:
        self._ear.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._ear.join()
        self._socket.close()

    def wait_for_next(self, timeout_s: float) -> bool:
        """Wait for one more ping; tell whether it came."""
        before, end_s = len(self.heard_s), time.monotonic() + timeout_s
        while len(self.heard_s) == before and time.monotonic() < end_s:
            time.sleep(POLL_S)
        return len(self.heard_s) > before

    def longest_gap_s(self, since_s: float, until_s: float) -> float:
        """Return the longest time without a ping between two moments of the monotonic clock."""
        moments = [since_s, *(at_s for at_s in list(self.heard_s) if since_s < at_s < until_s), until_s]
        return max(after_s - before_s for before_s, after_s in itertools.pairwise(moments))

    def _listen(self) -> None:
        while message := self._socket.recv(4096):
            if message == b"WATCHDOG=1":
                self.heard_s.append(time.monotonic())


@dataclass(frozen=True, slots=True)
class Trial:
    """One trouble: a thread that stands still, or one that no new start would mend."""

    name: str
    frozen: str = ""
    """The thread, in the words of `freezes.py`."""
    limit_s: float = 0.0
    trouble: Callable[[Stand], contextlib.AbstractContextManager[None]] | None = None


@contextlib.contextmanager
def _lock_held(s: Stand) -> Iterator[None]:
    """Hold the lock of the database, as a curious person with a shell may."""
    with contextlib.closing(sqlite3.connect(s.device.state_dir / "ledger.db", isolation_level=None)) as db:
        db.execute("PRAGMA busy_timeout=10000")
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


@contextlib.contextmanager
def _broker_down(s: Stand) -> Iterator[None]:
    s.broker.stop(signal.SIGTERM)
    yield
    s.broker.start()


TRIALS = (
    Trial("the network thread stands still", "network", NETWORK_LIMIT_S),
    Trial("the supervisor thread stands still", "supervisor", LOOP_LIMIT_S),
    Trial("a write to the ledger never returns", "ledger", LOOP_LIMIT_S),
    Trial("another process holds the lock of the database", trouble=_lock_held),
    Trial("the broker is down", trouble=_broker_down),
)


def watchdog(folder: Path, times: int) -> Finding:
    """Let each trouble come up in turn, in several agents at once; a few only, with limits that are short."""
    troubles = [TRIALS[number % len(TRIALS)] for number in range(times)]
    if times < len(TRIALS):
        troubles = [replace(one, limit_s=min(one.limit_s, QUICK_S)) for one in troubles]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        found = list(pool.map(lambda one: _try(folder / str(one[0]), one[1]), enumerate(troubles)))
    return Finding(
        sum(one.tried for one in found),
        sum((one.tally for one in found), Tally()),
        tuple(word for one in found for word in one.complaints),
        tuple(word for one in found for word in one.delays),
        tuple(recovery_s for one in found for recovery_s in one.recoveries_s),
    )


def _try(folder: Path, trial: Trial) -> Finding:
    with Pings(folder) as pings, stand(folder, environment=pings.environment, window=WINDOW) as s:
        if trial.frozen:
            _stand_still(s, pings, trial, folder / "frozen")
        else:
            _stay_fed(s, pings, trial)
        s.recover(timeout_s=2 * BACK_S)
        return s.finish(1, goal_s=BACK_S)


def _stand_still(s: Stand, pings: Pings, trial: Trial, sign: Path) -> None:
    """Freeze the thread; when its limit has passed no ping may come, and systemd would end the agent then."""
    s.device.terminate()
    s.device.launch(("chaos.freezes", trial.frozen, str(trial.limit_s), str(sign)))
    s.requester.probe()
    s.requester.keep_asking(WINDOW)
    if not pings.wait_for_next(PATIENCE_S):
        s.complaints.append(f"{trial.name}: the watchdog was not fed before either")
    sign.touch()
    frozen_s = time.monotonic()
    time.sleep(trial.limit_s + SLACK_S + SILENCE_S)
    last_s = max(pings.heard_s, default=frozen_s) - frozen_s
    if last_s > trial.limit_s + SLACK_S:
        s.complaints.append(f"{trial.name}: the watchdog was still fed after {last_s:.0f} s")
    s.device.kill()
    sign.unlink()
    s.device.launch()


def _stay_fed(s: Stand, pings: Pings, trial: Trial) -> None:
    assert trial.trouble
    began_s = time.monotonic()
    with trial.trouble(s):
        time.sleep(TROUBLE_S)
    if (gap_s := pings.longest_gap_s(began_s, time.monotonic())) > LONGEST_S:
        s.complaints.append(f"{trial.name}: the watchdog was not fed for {gap_s:.0f} s")
