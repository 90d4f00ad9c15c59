"""The table of what was broken and what came of it, for a terminal and for docs/reliability.md."""

import datetime as dt
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from agent.hardware.probe import probe
from chaos.scenarios import Scenario
from chaos.tally import Finding

BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
HEAD = ("fault", "times", "requests", "lost", "different", "duplicates", "worst recovery", "goal", "met")


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario with its result."""

    scenario: Scenario
    finding: Finding
    day: dt.date
    """When it was measured."""

    @property
    def is_harmful(self) -> bool:
        """Whether the promise was broken."""
        tally = self.finding.tally
        return bool(tally.lost or tally.different or tally.wrong)

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        tally, worst_s = self.finding.tally, self.finding.worst_s
        same = ", all identical" if tally.duplicates and not tally.different else ""
        return (
            self.scenario.fault,
            str(self.finding.tried),
            str(tally.expected),
            str(tally.lost),
            str(tally.different),
            f"{tally.duplicates}{same}",
            "" if math.isnan(worst_s) else "never" if math.isinf(worst_s) else f"{worst_s:.1f} s",
            self.scenario.demand,
            "**no**" if self.finding.unmet else "yes",
        )


def table(rows: list[Row]) -> str:
    """Return the table as Markdown, and below it what is not met."""
    lines = [_line(HEAD), _line(("---",) * len(HEAD)), *(_line(row.cells()) for row in rows)]
    unmet = [
        f"* {row.scenario.fault}: {complaint}" + (f" ({times} times)" if times > 1 else "")
        for row in rows
        for complaint, times in Counter(row.finding.unmet).items()
    ]
    return "\n".join([*lines, *(["", "Not met:", "", *unmet] if unmet else [])]) + "\n"


def write(rows: list[Row], page: Path) -> None:
    """Put the table into its place on the page, with its days and the machine.

    Raises:
        ValueError: the page has no such place.
    """
    place(page, BEGIN, END, measured([row.day for row in rows], table(rows)))


def measured(days: list[dt.date], words: str) -> str:
    """Return what was found, below when and where."""
    facts = probe(Path.cwd())
    machine = f"{facts.cpu.model}, {facts.cpu.usable_physical_cores} cores, {facts.system}"
    when = " and ".join(sorted({day.isoformat() for day in days}))
    return f"{when}, {machine}.\n\n{words}"


def place(page: Path, begin: str, end: str, words: str) -> None:
    """Replace what stands between two marks of a page.

    Raises:
        ValueError: the page has no such marks.
    """
    before, rest = page.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    page.write_text(before + begin + words + end + after, encoding="utf-8")


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"
