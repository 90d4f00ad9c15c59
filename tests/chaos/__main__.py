"""Breaks everything around the agent and prints what came of it: `make chaos`."""

import argparse
import datetime as dt
import logging
import signal
import sys
import tempfile
import time
from pathlib import Path

from chaos.kept import keep, kept
from chaos.report import Row, table, write
from chaos.scenarios import LONG_MINUTES, SCENARIOS, Scenario
from chaos.tally import Finding, Tally

LOG = logging.getLogger("chaos")


def main() -> int:
    """Run what is named, or everything; return 1 if the promise was broken or a scenario broke off."""
    given = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and end the processes that were started
    chosen = [one for one in SCENARIOS if _is_wanted(one, given)]
    rows: list[Row] = []
    has_broken_off = False
    for scenario in chosen:
        finding = _run(scenario, scenario.times(is_short=given.short, scale=given.minutes / LONG_MINUTES))
        has_broken_off |= not finding.tried
        rows.append(Row(scenario, finding, dt.datetime.now(dt.UTC).date()))
        if finding.tried and not given.short:
            keep(rows[-1])
    print(table(rows))
    if given.markdown:
        write(list(kept()), given.markdown)
    return int(has_broken_off or any(row.is_harmful for row in rows))


def _arguments() -> argparse.Namespace:
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="scenario", help=f"of {', '.join(names)}")
    parser.add_argument("--short", action="store_true", help="the form that runs inside `make test`")
    parser.add_argument(
        "--minutes", type=float, default=LONG_MINUTES, help="about how long all scenarios together may take"
    )
    parser.add_argument(
        "--markdown", type=Path, help="draw this page from the last long results of each scenario"
    )
    given = parser.parse_args()
    if unknown := set(given.names) - set(names):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}; see --help")
    return given


def _is_wanted(scenario: Scenario, given: argparse.Namespace) -> bool:
    has_form = bool(scenario.short) or not given.short
    return has_form and (not given.names or scenario.name in given.names)


def _run(scenario: Scenario, times: int) -> Finding:
    """Run one scenario; one that breaks off counts as not tried."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="promptd-chaos-") as folder:
        try:
            finding = scenario.run(Path(folder) / scenario.name, times)
        except Exception as error:
            LOG.exception("%s broke off", scenario.name)
            finding = Finding(0, Tally(), (f"the scenario broke off: {type(error).__name__}: {error}"[:500],))
    print(f"{scenario.name}: {finding.tried} times in {time.monotonic() - began_s:.0f} s, {finding.tally}")
    for complaint in finding.unmet:
        print(f"  not met: {complaint}", flush=True)
    return finding


if __name__ == "__main__":
    sys.exit(main())
