"""Runs every measurement and writes `docs/benchmarks.md`: `make bench`."""

import datetime as dt
import os
from pathlib import Path

from agent.hardware.probe import probe
from benchmarks import footprint, overhead, throughput

PAGE = Path("docs/benchmarks.md")
PARTS = (overhead, throughput, footprint)
HEAD = """# Benchmarks

Measured by `make bench` in one run on one machine. Differences and ratios are taken between neighbours that
were measured in turn; single absolute times say more about the machine than about promptd.

The two figures of a chat through MQTT are medians of 31 pairs. Single pairs scatter by a tenth on a shared
machine: requester, broker, agent and two computing threads share two cores, and what the first three need,
the last two lose. Medians of repeated runs lie within about 0.03 and 2 ms of each other.

"""


def main() -> None:
    """Measure, print and write."""
    facts = probe(Path.cwd())
    where = f"{facts.cpu.model}, {facts.cpu.usable_physical_cores} cores, {facts.system}"
    load = os.getloadavg()[0]
    lines = [
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {where}, load at the start {load:.2f}.",
        "",
        "| what | measured | goal |",
        "| --- | --- | --- |",
    ]
    print("\n".join(lines))
    for part in PARTS:
        for row in part.measure():
            lines.append("| " + " | ".join(row) + " |")
            print(lines[-1], flush=True)
    PAGE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
