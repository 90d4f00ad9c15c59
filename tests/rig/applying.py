"""`apply` as the command does it, but waiting for no device; and one that is killed half-way."""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

from provisioning.apply import Applying, Outcome, Quiet
from provisioning.authority import making
from provisioning.authority.registrar import Registrar
from provisioning.facts import look
from provisioning.fleet import open_fleet
from provisioning.plan import Kind, Step, plan

KILLED = 9

Apply = Callable[..., Outcome]
Plan = Callable[..., list[tuple[Kind, str]]]


def apply_to(folder: Path, watch: Quiet | None = None, *, revoke: bool = False, again: str = "") -> Outcome:
    """Apply the inventory of this folder."""
    with open_fleet(folder / "fleet.yaml", actor="test") as fleet:
        if making.is_missing(fleet):
            making.make(fleet, folder / "passphrase")
        registrar = Registrar(fleet)
        registrar.learn_authorities()
        named = frozenset({again} - {""})
        for name in named:
            fleet.registry.unmark(name)
        facts = look(fleet, folder / "dist")
        steps = plan(fleet.inventory, facts, revoke=revoke, again=named)
        return Applying(fleet, registrar, facts, watch or Quiet(), waits=False).run(steps)


def apply_and_die(folder: Path, at: int) -> int:
    """Apply in a process that ends, as by a power cut, when it tells of its work for the `at`-th time.

    Return 9, or 0 when it was done before.
    """
    process = multiprocessing.get_context("spawn").Process(target=_dying, args=(folder, at))
    process.start()
    process.join()
    return process.exitcode or 0


def _dying(folder: Path, at: int) -> None:
    apply_to(folder, _Killer(at))


class _Killer(Quiet):
    """Hears until it has heard enough."""

    def __init__(self, at: int) -> None:
        self._left = at

    def begun(self, subject: str, words: str) -> None:  # noqa: ARG002 -- as a Watch
        self._hear()

    def done(self, step: Step) -> None:  # noqa: ARG002 -- as a Watch
        self._hear()

    def _hear(self) -> None:
        self._left -= 1
        if self._left < 0:
            os._exit(KILLED)
