"""How plans, outcomes and devices look on a terminal; nothing is decided here."""

import datetime as dt
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeElapsedColumn
from rich.table import Table

from provisioning.apply import ON_DEVICES, Outcome, Quiet, Watch
from provisioning.facts import Facts
from provisioning.plan import Kind, Step
from provisioning.registry_rows import Certificate

DAY_S = 86_400
WORDS = {
    Kind.AUTHORITY: "make the authority",
    Kind.CERTIFICATE: "make key and certificate",
    Kind.REGISTER: "register",
    Kind.REMOVE: "take out of the registry",
    Kind.REVOKE: "revoke its certificate",
    Kind.REVOCATIONS: "write the revocation list",
    Kind.BROKER: "bring configuration and rules",
    Kind.BUNDLE: "make a bundle to carry there",
    Kind.INSTALL: "install by SSH",
    Kind.CERTIFY: "have its key signed",
    Kind.START: "start it, and see it ready",
    Kind.LOOK: "nothing; please look",
}


def show_plan(steps: tuple[Step, ...]) -> None:
    """Print what would change."""
    table = Table("", "what is done", "why", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for step in steps:
        style = "yellow" if step.kind is Kind.LOOK else None
        table.add_row(escape(step.subject), WORDS[step.kind], escape(step.why), style=style)
    console = Console()
    console.print(table if steps else "nothing to do: the fleet is as the inventory says")


def show_outcome(outcome: Outcome) -> None:
    """Print what was done and what was not, and why."""
    console = Console(stderr=True)
    for failure in outcome.failed:
        console.print(
            f"[red]failed[/red] {escape(failure.step.subject)}: {escape(failure.reason)}", soft_wrap=True
        )
    again = "; mend what failed and run it again" if outcome.failed else ""
    console.print(f"{len(outcome.done)} steps done, {len(outcome.failed)} failed{again}")


def device_rows(facts: Facts) -> list[dict[str, object]]:
    """Return one row for each registered device."""
    return [
        {
            "name": name,
            "serial": device.serial,
            "group": device.group,
            "origin": device.origin,
            "certificate": _state(facts.latest.get(name), facts.now_s),
            "days_left": _days_left(facts.latest.get(name), facts.now_s),
        }
        for name, device in sorted(facts.devices.items())
    ]


def show_devices(rows: list[dict[str, object]]) -> None:
    """Print the devices."""
    names = ("name", "serial", "group", "origin", "certificate", "days_left")
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")  # a name that is cut off is no good for a command
    for row in rows:
        table.add_row(*(escape("" if row[name] is None else str(row[name])) for name in names))
    Console().print(table if rows else "no device is registered; write some into the inventory and apply it")


@contextmanager
def bars(steps: tuple[Step, ...]) -> Iterator[Watch]:
    """Draw two bars on standard error, steps here and devices by SSH; elsewhere each step is a line."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        "{task.fields[now]}",
    )
    with Progress(*columns, console=console) as progress:
        yield _Bars(progress, steps)


class _Lines(Quiet):
    """Says each step that is over: a script's log shows how far it came."""

    def done(self, step: Step) -> None:
        """Say which."""
        sys.stderr.write(f"{step.subject}: {WORDS[step.kind]}\n")


class _Bars:
    """Moves the bars; heard from many threads."""

    def __init__(self, progress: Progress, steps: tuple[Step, ...]) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._tasks: dict[bool, TaskID] = {}
        for is_device, title in ((False, "here"), (True, "devices")):
            count = sum(
                (step.kind in ON_DEVICES) is is_device for step in steps if step.kind is not Kind.LOOK
            )
            if count:
                self._tasks[is_device] = progress.add_task(title, total=count, now="")

    def begun(self, subject: str, words: str) -> None:
        """Show what is being done now, beside the bar that moved last."""
        with self._lock:
            task = self._tasks.get(True, self._tasks.get(False))
            if task is not None:
                self._progress.update(task, now=escape(f"{subject}: {words}"))

    def done(self, step: Step) -> None:
        """Move the bar of this step."""
        with self._lock:
            task = self._tasks.get(step.kind in ON_DEVICES)
            if task is not None:
                self._progress.advance(task)


def _state(latest: Certificate | None, now_s: float) -> str:
    if latest is None:
        return "none"
    if latest.revoked_s is not None:
        return "revoked"
    until = dt.datetime.fromtimestamp(latest.not_after_s, dt.UTC).date().isoformat()
    return f"good until {until}" if latest.is_good(now_s) else f"over since {until}"


def _days_left(latest: Certificate | None, now_s: float) -> int | None:
    if latest is None or not latest.is_good(now_s):
        return None
    return int((latest.not_after_s - now_s) // DAY_S)
