"""Measures, and writes `docs/benchmarks.md` and its chart: `make bench`."""

import argparse
import signal
import sys
from pathlib import Path

from benchmarks import footprint, overhead, throughput
from benchmarks.chart import chart
from benchmarks.contest import contest
from benchmarks.page import page, table
from benchmarks.results import Measured, Results, now, open_results
from benchmarks.table_rows import rows_of
from benchmarks.workloads import WORKLOADS

PAGE, CHART = Path("docs/benchmarks.md"), Path("docs/benchmarks.svg")
ALONE = {"overhead": overhead, "throughput": throughput, "footprint": footprint}
LARGE = "phi3-"
"""Parts that take minutes a round."""


def main() -> None:
    """Measure what is named, or everything; print and write."""
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join((*names, *ALONE))}")
    parser.add_argument("--quick", action="store_true", help="fewer requests; leaves docs/ alone")
    parser.add_argument("--only", action="append", default=[], metavar="peer", help="only this peer")
    parser.add_argument("--draw", action="store_true", help="measure nothing, write docs/ from what is kept")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and end the peers, too
    if unknown := set(given.parts) - {*names, *ALONE}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; see --help")
    is_trial = given.quick or bool(given.only)
    results = open_results("quick" if is_trial else "full")
    if not given.draw:
        _measure(results, given.parts, is_quick=given.quick, only=tuple(given.only))
    print(table(rows_of(results)))
    if not is_trial and results.parts:
        PAGE.write_text(page(results), encoding="utf-8")
        CHART.write_text(chart(rows_of(results)), encoding="utf-8")


def _measure(results: Results, parts: list[str], *, is_quick: bool, only: tuple[str, ...]) -> None:
    for workload in WORKLOADS:
        if workload.name in parts or (not parts and not (is_quick and workload.name.startswith(LARGE))):
            for form in workload.goals:
                when, load = now()
                seen = contest(workload, form, is_quick=is_quick, only=only)
                results.keep(f"{workload.name}, {form}", Measured(when, load, contest=seen))
                _show(results, f"{workload.name}, {form}")
    for name, part in ALONE.items():
        if name in parts or (not parts and not is_quick):
            when, load = now()
            results.keep(name, Measured(when, load, rows=part.measure()))
            print("\n".join(" | ".join(row) for row in results.parts[name].rows), flush=True)


def _show(results: Results, name: str) -> None:
    """Print the rows of a part as soon as it is measured."""
    part = results.parts[name]
    print(table(rows_of(Results(results.path, results.machine, {name: part}))), flush=True)


if __name__ == "__main__":
    main()
