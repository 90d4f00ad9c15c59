"""What has been measured, kept as JSON between runs, so that one workload can be measured again alone."""

import dataclasses
import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

from agent.hardware.probe import probe
from benchmarks.contest import Contest, Figures
from benchmarks.goals import Goal

FOLDER = Path("build/benchmarks")


@dataclasses.dataclass(slots=True)
class Measured:
    """One part of the page: a contest, or rows of promptd alone."""

    when: str
    load: float
    """Load average of the machine when it began."""
    contest: Contest | None = None
    rows: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Results:
    """All parts by name."""

    path: Path
    machine: str
    parts: dict[str, Measured]

    def keep(self, name: str, part: Measured) -> None:
        """Take over a part and write the file."""
        self.parts[name] = part
        self.path.parent.mkdir(parents=True, exist_ok=True)
        parts = {key: dataclasses.asdict(value) for key, value in self.parts.items()}
        self.path.write_text(
            json.dumps({"machine": self.machine, "parts": parts}, indent=1), encoding="utf-8"
        )


def now() -> tuple[str, float]:
    """Return the date and the machine's load average."""
    return f"{dt.datetime.now(dt.UTC):%Y-%m-%d}", os.getloadavg()[0]


def open_results(name: str) -> Results:
    """Return what earlier runs on this machine left; results of another machine are not mixed in."""
    facts = probe(Path.cwd())
    machine = f"{facts.cpu.model}, {facts.cpu.usable_physical_cores} cores, {facts.system}"
    path = FOLDER / f"{name}.json"
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"machine": ""}
    parts = known["parts"] if known["machine"] == machine else {}
    return Results(path, machine, {key: _measured(value) for key, value in parts.items()})


def _measured(part: dict[str, Any]) -> Measured:
    contest, kept = None, part["contest"]
    if kept is not None:
        goals = tuple(Goal(**goal) for goal in kept["goals"])
        rounds = [{peer: Figures(**seen) for peer, seen in one.items()} for one in kept["rounds"]]
        contest = Contest(**kept | {"goals": goals, "rounds": rounds})
    rows = [(what, seen, goal) for what, seen, goal in part["rows"]]
    return Measured(part["when"], part["load"], contest, rows)
