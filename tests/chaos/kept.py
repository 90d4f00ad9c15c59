"""The results of this checkout, scenario by scenario: the long form may be run in parts, over days."""

import datetime as dt
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter

from chaos.report import Row
from chaos.scenarios import SCENARIOS
from chaos.tally import Finding

RESULTS = Path("build/chaos.json")


@dataclass(frozen=True, slots=True)
class _Result:
    day: dt.date
    finding: Finding


_RESULTS = TypeAdapter(dict[str, _Result], config=ConfigDict(ser_json_inf_nan="strings"))


def keep(row: Row, file: Path = RESULTS) -> None:
    """Remember one result in place of the last one of the same scenario."""
    results = _read(file) | {row.scenario.name: _Result(row.day, row.finding)}
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_bytes(_RESULTS.dump_json(results, indent=1))
    draft.replace(file)


def kept(file: Path = RESULTS) -> Iterable[Row]:
    """Return the last result of each scenario, in the order of the table."""
    results = _read(file)
    for scenario in SCENARIOS:
        if result := results.get(scenario.name):
            yield Row(scenario, result.finding, result.day)


def _read(file: Path) -> dict[str, _Result]:
    return _RESULTS.validate_json(file.read_bytes()) if file.exists() else {}
