"""Ends of the engine worker (G9): ten ways to die or to hang, and what the agent makes of each."""

import contextlib
import math
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from chaos.device import INJECTED
from chaos.kills import CRASHED
from chaos.stand import Stand, stand
from chaos.tally import Finding

DEAD = CRASHED | {"out_of_memory"}
YOUNG_DEATHS = 3
"""The supervisor waits longer after each death of a young worker: after so many the agent begins anew."""
BACK_S, SEEN_S, GREEN_S = 5.0, 0.5, 1.25
"""Answering again; a death is in the log; a second, and the tick of the report, until the status tells it."""
CLOCK_S, GRACE_S = 3.0, 3.0
"""How long a worker may be silent here, and how much later it must be gone."""
HANG_S = 123.0 + BACK_S
"""The longest silence that the product allows, with what killing and replacing the worker may take."""
REPEAT_S = 1.0
LIMIT_BYTES = 512 << 20
"""Of agent and worker together; the leak runs into it."""
GROUPS = Path("/sys/fs/cgroup/memory")
POLL_S = 0.005
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class End:
    """One way for a worker to end."""

    fate: str
    """In the words of `injected/`."""
    word: str = "engine_died"
    """What the log then says."""
    is_hang: bool = False

    @property
    def deaths(self) -> int:
        """How many workers it takes: who hangs in load must follow another one."""
        return 2 if self.fate.endswith("in load") else 1

    @property
    def limit_s(self) -> float:
        """How long after its beginning, or its death, it must be in the log."""
        return CLOCK_S + GRACE_S if self.is_hang else SEEN_S


ENDS = (
    End("SIGSEGV"),
    End("SIGABRT"),
    End("SIGKILL"),
    End("exit 0"),
    End("exit 1"),
    End("hang in load", "engine_fell", is_hang=True),
    End("hang in prefill", is_hang=True),
    End("hang in decode", is_hang=True),
    End("garbage"),
    End("leak"),
)


def worker_deaths(folder: Path, times: int) -> Finding:
    """End the engine worker in every way in turn; the agent lives, tells it, and has a new one soon."""
    fate = folder / "fate"
    environment = {**INJECTED, "CHAOS_FATE": str(fate), "CHAOS_CLOCK_S": str(CLOCK_S)}
    seen: list[psutil.Process] = []
    with _memory_limit(folder.name) as limit, stand(folder, environment=environment, repeat_s=REPEAT_S) as s:
        young = 0
        for number in range(times):
            end = ENDS[number % len(ENDS)]
            if young + end.deaths > YOUNG_DEATHS:
                s.restart()
                young = 0
            young += end.deaths
            limit(s)
            if worker := s.device.worker():
                _end_worker(s, fate, end, worker, seen)
            else:
                s.complaints.append("the agent had no engine worker")
        finding = s.finish(times, allowed=DEAD, goal_s=BACK_S)
    orphans = [one.pid for one in seen if _lives(one)]
    words = (f"{len(orphans)} workers outlived the agent",) if orphans else ()
    return replace(finding, complaints=(*finding.complaints, *words))


def _end_worker(s: Stand, fate: Path, end: End, worker: psutil.Process, seen: list[psutil.Process]) -> None:
    seen.append(worker)
    before, began_s = s.device.count(end.word), time.monotonic()
    _lay(fate, end.fate)
    if end.deaths > 1:
        worker.kill()  # the next one loads
    met_s = _wait_until(lambda: not fate.exists())
    if math.isinf(met_s):
        fate.unlink(missing_ok=True)
        s.complaints.append(f"{end.fate}: no worker came by where it waited")
        return
    seen += filter(None, [s.device.worker()])
    over_s = met_s if end.is_hang else _wait_until(lambda: not _lives(worker))
    if not s.device.wait_for_more(end.word, before, PATIENCE_S) or math.isinf(over_s):
        s.complaints.append(f"{end.fate}: the death was never seen")
        return
    if (late_s := time.monotonic() - over_s) > end.limit_s:
        s.delays.append(f"{end.fate}: the death was seen after {late_s:.1f} s")
    s.recover()
    told_s = s.requester.wait_for_state("degraded", began_s, 0) + began_s
    if math.isinf(told_s):
        s.complaints.append(f"{end.fate}: the status never told it")
    elif (green_s := told_s - over_s) > GREEN_S + end.limit_s * end.is_hang:
        s.delays.append(f"{end.fate}: the status told it after {green_s:.1f} s")
    if _lives(worker):
        s.complaints.append(f"a worker outlived {end.fate}")


def _lay(fate: Path, words: str) -> None:
    """Let it be there whole: a worker that came by in between would take an empty one away, and live."""
    beside = fate.with_suffix(".new")
    beside.write_text(words)
    beside.replace(fate)


def _wait_until(is_so: Callable[[], bool]) -> float:
    """Return when it was so, by the monotonic clock; infinity if it never was."""
    end_s = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > end_s:
            return math.inf
        time.sleep(POLL_S)
    return time.monotonic()


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@contextlib.contextmanager
def _memory_limit(name: str) -> Iterator[Callable[[Stand], None]]:
    """Hand out what limits the memory of agent and worker: a control group, or what everybody may set.

    In the group the kernel itself kills, as it does when a box runs out of memory.
    """
    group = GROUPS / f"promptd-{name}-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
    except OSError:
        yield _limit_addresses
        return
    try:
        yield lambda s: _join(group, s)
    finally:
        _wait_until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def _join(group: Path, s: Stand) -> None:
    worker = s.device.worker()
    for pid in (s.device.child.process.pid, *([worker.pid] if worker else [])):
        with contextlib.suppress(OSError):  # it has just ended
            (group / "cgroup.procs").write_text(str(pid))


def _limit_addresses(s: Stand) -> None:
    if worker := s.device.worker():
        hard = resource.prlimit(worker.pid, resource.RLIMIT_AS)[1]
        resource.prlimit(worker.pid, resource.RLIMIT_AS, (worker.memory_info().vms + LIMIT_BYTES, hard))


def worker_hangs(folder: Path, times: int) -> Finding:
    """Stop the engine worker without ending it: only its silence tells, by the clocks of the product."""
    with stand(folder) as s:
        for _ in range(times):
            if worker := s.device.worker():
                worker.send_signal(signal.SIGSTOP)
            s.recover(timeout_s=2 * HANG_S)
        return s.finish(times, allowed=DEAD, goal_s=HANG_S)
