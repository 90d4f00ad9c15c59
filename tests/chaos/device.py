"""The agent under attack: a real process with its own state folder, started and ended from outside."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from rig.box import DEVICE
from rig.process import Child

ROOT = Path(__file__).parents[2]
SEARCH_PATH = f"{ROOT}:{ROOT / 'tests'}"
"""For PYTHONPATH: every child runs the code beside this harness, whatever else is installed."""
INJECTED = {"PYTHONPATH": f"{Path(__file__).with_name('injected')}:{SEARCH_PATH}"}

Tables = Mapping[str, Mapping[str, Any]]

DEFAULTS: Tables = {
    "engine": {"require": "echo", "slots": 4, "context_length": 8192},
    "telemetry": {"interval_s": 1},
    "logs": {"format": "json", "level": "warning"},
}


class Device:
    """Started at once; use as a context manager. Only the device id is always the same."""

    def __init__(
        self,
        folder: Path,
        url: str,
        tables: Tables | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.state_dir = folder / "state"
        self._config = folder / "promptd.toml"
        folder.mkdir(parents=True, exist_ok=True)
        self._config.write_text(_toml(self.state_dir, url, tables or {}))
        self._environment = {"PYTHONPATH": SEARCH_PATH, **(environment or {})}
        self.surprises: list[str] = []
        """Ends of the process that nobody caused."""
        self.launch()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.child.end()

    def launch(self, program: Sequence[str] = ("agent.cli",)) -> None:
        """Start the process; `program` is a module, with its arguments, that runs the agent's commands."""
        command = [sys.executable, "-m", *program, "run", "--config", str(self._config)]
        self.launched_s = time.monotonic()
        self.child = Child(command, self._environment)

    def kill(self) -> None:
        """Kill -9."""
        self.look()
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def look(self) -> None:
        """Note it if the agent has ended by itself."""
        if self.exit_code not in (None, -signal.SIGKILL):
            self.surprises.append(f"the agent ended by itself with {self.exit_code}: {self.last_words}")

    def wait_for_end(self, timeout_s: float) -> bool:
        """Wait until the process has ended; tell whether it has."""
        try:
            self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def terminate(self) -> tuple[int, float]:
        """Ask the agent to stop; return its exit code and how many seconds it took."""
        began_s = time.monotonic()
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(), time.monotonic() - began_s

    @property
    def exit_code(self) -> int | None:
        """How the process ended; None while it runs."""
        code: int | None = self.child.process.poll()
        return code

    @property
    def last_words(self) -> str:
        """The last line of the log."""
        return self.child.lines[-1][:300] if self.child.lines else "no last words"

    def worker(self) -> psutil.Process | None:
        """Return the engine worker, if there is one at the moment."""
        try:
            return next(iter(psutil.Process(self.child.process.pid).children()), None)
        except psutil.NoSuchProcess:
            return None

    def count(self, word: str) -> int:
        """Count the lines of the log that hold a word."""
        return sum(word in line for line in list(self.child.lines))

    def wait_for_more(self, word: str, before: int, timeout_s: float) -> bool:
        """Wait until a word has come more often than `before`; tell whether it has."""
        end_s = time.monotonic() + timeout_s
        while self.count(word) <= before and time.monotonic() < end_s:
            time.sleep(0.02)
        return self.count(word) > before


def _toml(state_dir: Path, url: str, tables: Tables) -> str:
    names = {*DEFAULTS, *tables, "broker"}
    whole = {name: {**DEFAULTS.get(name, {}), **tables.get(name, {})} for name in names}
    whole["broker"]["url"] = url
    rows = [f'device_id = "{DEVICE}"', f'state_dir = "{state_dir}"']
    for name, table in whole.items():
        rows += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(rows) + "\n"
