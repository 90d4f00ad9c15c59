"""What the machine may do: a full or failing disk (G8), starts and stops (G16), a clock that jumps (G22)."""

import contextlib
import json
import math
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from chaos.device import INJECTED, Device
from chaos.stand import WINDOW, Stand, stand
from chaos.tally import Finding

DISK = "96m"
BLOCKED_S, SPACE_S = 2.0, 5.0
HOLD_S = 3.0
READY_S, IDLE_STOP_S, BUSY_STOP_S = 2.0, 1.0, 10.0
YEAR_S = 365 * 24 * 3600
JUMPS = ("+3650d", "-3650d", "@1970-01-01 00:00:10", "+0d", "@2106-02-07 06:28:10")
"""In the words of libfaketime."""
FAKETIME = "libfaketimeMT.so.1"


@dataclass(frozen=True, slots=True)
class DiskFault:
    """One way in which nothing can be written any more, and how it ends."""

    name: str
    begin: Callable[[], None]
    end: Callable[[], None]


def full_disk(folder: Path, times: int) -> Finding:
    """Let every write fail for a while: as root on a full disk, for everybody by a limit on the file size."""
    with _small_disk(folder / "state") as is_small, stand(folder) as s:
        faults = _disk_faults(folder / "state" / "filler", s.device, is_small=is_small)
        for number in range(times):
            _fail_writes(s, faults[number % len(faults)])
        return s.finish(times, goal_s=SPACE_S)


def _fail_writes(s: Stand, fault: DiskFault) -> None:
    began_s = time.monotonic()
    fault.begin()
    told_s = s.requester.wait_for_state("blocked", began_s, HOLD_S)
    if math.isinf(told_s):
        s.complaints.append(f"{fault.name}: the status never said 'blocked'")
    elif told_s > BLOCKED_S:
        s.delays.append(f"{fault.name}: the status said 'blocked' after {told_s:.1f} s")
    time.sleep(max(0.0, began_s + HOLD_S - time.monotonic()))
    fault.end()
    ended_s = time.monotonic()
    s.recover()
    if math.isinf(s.requester.wait_for_state("ready", ended_s, SPACE_S)):
        s.complaints.append(f"{fault.name}: the status did not become 'ready' again")


def _disk_faults(filler: Path, device: Device, *, is_small: bool) -> list[DiskFault]:
    def limit(size_bytes: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(device.child.process.pid, resource.RLIMIT_FSIZE, (size_bytes, hard))

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    failing = DiskFault("writes fail", lambda: limit(0), lambda: limit(hard))
    full = DiskFault("the disk is full", lambda: _fill(filler), filler.unlink)
    return [full, failing] if is_small else [failing]


def _fill(filler: Path) -> None:
    """Take all the room there is, to the last page."""
    with filler.open("wb", buffering=0) as file:
        for size_bytes in (1 << 20, 4096):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size_bytes))


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small disk there; tell whether that was possible, for which one must be root."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "promptd-chaos", str(folder)]
    is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def starts_and_stops(folder: Path, times: int) -> Finding:
    """Stop and start the agent politely, idle and busy in turn."""
    with stand(folder, window=0) as s:
        for number in range(times):
            limit_s = BUSY_STOP_S if number % 2 else IDLE_STOP_S
            if number % 2:
                s.requester.keep_asking(WINDOW)
                s.requester.probe()
            else:
                s.requester.settle()
            code, took_s = s.device.terminate()
            if code:
                s.complaints.append(f"it stopped with {code}: {s.device.last_words}")
            if took_s > limit_s:
                s.delays.append(f"it stopped after {took_s:.1f} s, not within {limit_s:g} s")
            s.device.launch()
            ready_s = s.requester.wait_for_state("ready", s.device.launched_s)
            s.recoveries_s.append(ready_s)
        return s.finish(times, goal_s=READY_S)


def clock_jumps(folder: Path, times: int) -> Finding:
    """Let the time of day jump by decades while prompts wait and run; none of them may expire by it."""
    folder.mkdir(parents=True, exist_ok=True)
    clock = folder / "clock"
    clock.write_text("+0d\n")
    years: set[int] = set()
    with stand(folder, environment=_faked_by(clock)) as s:
        for number in range(times):
            clock.write_text(JUMPS[number % len(JUMPS)] + "\n")
            question = s.requester.ask(f"what time is it? {number}")
            if s.requester.wait_for(question):
                years.add(json.loads(question.answers[0]).get("created", 0) // YEAR_S)
            s.recover()
        if len(years) < min(times, len(JUMPS)):
            s.complaints.append(f"the clock stood in only {len(years)} years: is faketime installed?")
        return s.finish(times)


def _faked_by(clock: Path) -> dict[str, str]:
    library = next(Path("/usr/lib").glob(f"*/faketime/{FAKETIME}"), Path(FAKETIME))
    return {
        **INJECTED,
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
