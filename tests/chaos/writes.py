"""Writes that fail (G8): the n-th call that changes a file by the ledger, and all after it for a while."""

import errno
import math
import mmap
import struct
import subprocess
import time
from pathlib import Path

from chaos.hosts import BLOCKED_S, SPACE_S
from chaos.stand import Stand, stand
from chaos.tally import Finding

SOURCE = Path(__file__).with_name("injected") / "failing_writes.c"
ERRORS = (errno.EIO, errno.ENOSPC)
ORDERS = struct.Struct("@3i")
NONE_FAILS = -1
MEET_S = 20.0
POLL_S = 0.01


class Writes:
    """What is preloaded into the agent, and the orders that it follows."""

    def __init__(self, folder: Path) -> None:
        """Compile the library.

        Raises:
            subprocess.CalledProcessError: there is a compiler, and it fails.
            FileNotFoundError: there is none; install gcc.
        """
        library, orders = folder / "failing_writes.so", folder / "orders"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
        orders.write_bytes(ORDERS.pack(NONE_FAILS, 0, 0))
        with orders.open("r+b") as file:
            self._orders = mmap.mmap(file.fileno(), ORDERS.size)
        self.environment = {
            "LD_PRELOAD": str(library),
            "CHAOS_WRITES": str(orders),
            "CHAOS_FOLDER": str((folder / "state").resolve()),
        }

    def fail_from(self, number: int, error: int) -> None:
        """Let the calls from this one on fail, counted from now."""
        self._orders[:] = ORDERS.pack(number - 1, error, 0)

    def heal(self) -> None:
        """Let no call fail any more."""
        self._orders[: struct.calcsize("@i")] = struct.pack("@i", NONE_FAILS)

    @property
    def failed(self) -> int:
        """How many calls have failed since the last order."""
        return int(ORDERS.unpack(self._orders[:])[2])


def failing_writes(folder: Path, times: int) -> Finding:
    """Let the n-th write and all after it fail, for each n and with each error, until the status tells it."""
    folder.mkdir(parents=True, exist_ok=True)
    writes = Writes(folder)
    with stand(folder, environment=writes.environment) as s:
        for number in range(times):
            _fail(s, writes, number // len(ERRORS) + 1, ERRORS[number % len(ERRORS)])
        return s.finish(times, goal_s=SPACE_S)


def _fail(s: Stand, writes: Writes, number: int, error: int) -> None:
    name = f"write {number} fails with {errno.errorcode[error]}"
    writes.fail_from(number, error)
    end_s = time.monotonic() + MEET_S
    while not writes.failed and time.monotonic() < end_s:
        time.sleep(POLL_S)
    met_s = time.monotonic()
    if not writes.failed:
        s.complaints.append(f"{name}: the agent wrote less within {MEET_S:g} s")
    told_s = s.requester.wait_for_state("blocked", met_s - POLL_S, 2 * BLOCKED_S)
    if math.isinf(told_s):
        s.complaints.append(f"{name}: the status never said 'blocked'")
    elif told_s > BLOCKED_S:
        s.delays.append(f"{name}: the status said 'blocked' after {told_s:.1f} s")
    writes.heal()
    healed_s = time.monotonic()
    s.recover()
    if math.isinf(s.requester.wait_for_state("ready", healed_s, SPACE_S)):
        s.complaints.append(f"{name}: the status did not become 'ready' again")
