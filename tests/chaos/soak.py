"""A long run (G14): steady load, a worker killed and a broker restarted now and then, and what grows.

    python -m chaos.soak --minutes 480

The figures are taken after a warm-up, while nothing is broken. Kills and restarts scale with the length:
every minute and every second one in 20 minutes, every 5 and every 10 minutes in 8 hours.
"""

import argparse
import datetime as dt
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from agent.settings import QueueSettings
from chaos.kills import CRASHED
from chaos.report import measured, place
from chaos.stand import Stand, stand
from chaos.tally import Finding

MINUTES = 20.0
RATE_PER_S = 5.0
KILL_S, RESTART_S, WARM_UP_S, QUIET_S = (9.0, 300.0), (13.0, 600.0), (4.0, 1800.0), (4.0, 10.0)
"""The least and the most of each, whatever the length."""
SAMPLE_S, TICK_S = 1.0, 0.05
SLOPE_MIB_PER_H, GROWTH_MIB = 0.5, 8.0
DESCRIPTORS, THREADS = 4, 0
"""Between the most and the fewest: plus and minus 2, and none."""
WAL_BYTES = 8 << 20
MIB, HOUR_S = 1 << 20, 3600.0
BEGIN, END = "<!-- soak: begin -->\n", "<!-- soak: end -->\n"
HEAD = "| minutes | requests | lost | different | workers killed | brokers restarted | growth | met |"


@dataclass(frozen=True, slots=True)
class Sample:
    """What the agent takes at one moment."""

    at_s: float
    rss_bytes: int
    descriptors: int
    threads: int
    wal_bytes: int
    ledger_bytes: int


@dataclass(frozen=True, slots=True)
class Growth:
    """What the samples tell."""

    slope_mib_per_h: float
    grown_mib: float
    descriptors: int
    threads: int
    """These two: the largest less the smallest."""
    wal_bytes: int
    ledger_bytes: int
    span_h: float

    def __str__(self) -> str:
        return (
            f"memory {self.slope_mib_per_h:+.2f} MiB/h ({self.grown_mib:+.2f} MiB in {self.span_h:.1f} h), "
            f"descriptors within {self.descriptors}, threads within {self.threads}, "
            f"log {self.wal_bytes / MIB:.1f} MiB, ledger {self.ledger_bytes / MIB:.1f} MiB"
        )


def growth(samples: Sequence[Sample]) -> Growth:
    """Return what changed over the samples; memory by the line that fits best, for single values jump."""
    hours = [one.at_s / HOUR_S for one in samples]
    memory = [one.rss_bytes / MIB for one in samples]
    slope = statistics.linear_regression(hours, memory).slope
    span_h = hours[-1] - hours[0]
    return Growth(
        slope_mib_per_h=slope,
        grown_mib=slope * span_h,
        descriptors=_range([one.descriptors for one in samples]),
        threads=_range([one.threads for one in samples]),
        wal_bytes=max(one.wal_bytes for one in samples),
        ledger_bytes=max(one.ledger_bytes for one in samples),
        span_h=span_h,
    )


def _range(values: Sequence[int]) -> int:
    return max(values) - min(values)


def excesses(found: Growth, cap_bytes: int) -> list[str]:
    """Return what grew too much, in words.

    A slope says something only of hours. In a shorter run the line through the noise is steep, so there only
    the growth itself is judged, by what is allowed for the whole of a long one.
    """
    is_steep = found.span_h >= 1 and found.slope_mib_per_h > SLOPE_MIB_PER_H
    judged = [
        (is_steep or found.grown_mib > GROWTH_MIB, "the memory grows"),
        (found.descriptors > DESCRIPTORS, "descriptors are not closed"),
        (found.threads > THREADS, "threads come or go"),
        (found.wal_bytes >= WAL_BYTES, "the log of the ledger is not emptied"),
        (found.ledger_bytes > cap_bytes, "the ledger outgrows queue.history_bytes"),
    ]
    return [f"{words}: {found}" for is_too_much, words in judged if is_too_much]


@dataclass(slots=True)
class Schedule:
    """Something that is done every so often."""

    every_s: float
    work: Callable[[], None]
    next_s: float = 0.0
    count: int = 0

    def do(self, now_s: float) -> bool:
        """Do it if it is due; tell whether it was."""
        is_due = now_s >= self.next_s
        if is_due:
            self.next_s = now_s + self.every_s
            self.work()
            self.count += 1
        return is_due


@dataclass(slots=True)
class Soak:
    """One run, and what it has found."""

    stand: Stand
    minutes: float
    samples: list[Sample] = field(default_factory=list)
    asked: int = 0
    worker: psutil.Process | None = None
    """As it was at the last sample."""

    def run(self) -> tuple[int, int]:
        """Keep the load up and break something now and then; return how many workers and brokers."""
        length_s, began_s = self.minutes * 60, time.monotonic()
        kills = Schedule(_within(length_s / 20, KILL_S), self._kill_worker, began_s + KILL_S[0])
        restarts = Schedule(_within(length_s / 10, RESTART_S), self._restart_broker, began_s + RESTART_S[0])
        samples = Schedule(SAMPLE_S, self._sample)
        quiet_s = _within(kills.every_s / 6, QUIET_S)
        warm_s = calm_s = began_s + _within(length_s / 4, WARM_UP_S)
        while (now_s := time.monotonic()) < began_s + length_s:
            self._ask(now_s - began_s)
            if kills.do(now_s) or restarts.do(now_s):
                calm_s = max(warm_s, now_s + quiet_s)
            elif now_s >= calm_s:
                samples.do(now_s)
            time.sleep(TICK_S)
        return kills.count, restarts.count

    def _ask(self, elapsed_s: float) -> None:
        while self.asked < elapsed_s * RATE_PER_S:
            self.asked += 1
            self.stand.requester.ask(f"question {self.asked}")

    def _kill_worker(self) -> None:
        if worker := self.stand.device.worker():
            worker.kill()

    def _restart_broker(self) -> None:
        self.stand.broker.stop(signal.SIGTERM)
        self.stand.broker.start()

    def _sample(self) -> None:
        if self.stand.device.exit_code is not None:
            self.stand.device.look()
            self.stand.device.launch()
        before, self.worker = self.worker, self.stand.device.worker()
        if self.worker is None or self.worker != before:
            return  # a worker that is missing, or just begins, takes threads and descriptors of its own
        agent = psutil.Process(self.stand.device.child.process.pid)
        ledger = self.stand.device.state_dir / "ledger.db"
        with agent.oneshot():
            self.samples.append(
                Sample(
                    time.monotonic(),
                    agent.memory_info().rss,
                    agent.num_fds(),
                    agent.num_threads(),
                    _size_bytes(ledger.with_name("ledger.db-wal")),
                    _size_bytes(ledger),
                )
            )


def soak(folder: Path, minutes: float) -> tuple[Finding, str]:
    """Run for so long; return what was lost, and the row of the table."""
    with stand(folder, window=0) as s:
        run = Soak(s, minutes)
        killed, restarted = run.run()
        found = growth(run.samples)
        s.complaints += excesses(found, QueueSettings().history_bytes)
        finding = s.finish(1, allowed=CRASHED)
    tally, met = finding.tally, "**no**" if finding.unmet else "yes"
    cells = (f"{minutes:g}", tally.expected, tally.lost, tally.different, killed, restarted, found, met)
    return finding, f"| {' | '.join(map(str, cells))} |\n"


def _within(wanted: float, limits: tuple[float, float]) -> float:
    least, most = limits
    return min(most, max(least, wanted))


def _size_bytes(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def main() -> int:
    """Run, print the row, and put it on a page if one is given; return 1 if a goal was not met."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--markdown", type=Path, help="draw the result into this page")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and end the processes that were started
    with tempfile.TemporaryDirectory(prefix="promptd-soak-") as folder:
        finding, row = soak(Path(folder), given.minutes)
    lines = [HEAD, "|" + " --- |" * (HEAD.count("|") - 1), row]
    words = "\n".join([*lines, *(f"* {complaint}" for complaint in finding.unmet)])
    print(words, flush=True)
    if given.markdown:
        place(given.markdown, BEGIN, END, measured([dt.datetime.now(dt.UTC).date()], words))
    return int(bool(finding.unmet))


if __name__ == "__main__":
    sys.exit(main())
