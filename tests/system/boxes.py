"""All boxes of a test run: boots them, hands out their numbers, and throws them away."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from system.machine import Machine


class Boxes:
    """What one session of pytest has booted, in a folder of its own."""

    def __init__(self, folder: Path, tree: Path) -> None:
        self._folder, self._tree = folder, tree
        self._machines: list[Machine] = []
        self._count = 0

    @property
    def all(self) -> tuple[Machine, ...]:
        """Every box that was not thrown away."""
        return tuple(self._machines)

    def make(self, name: str, *layers: Path) -> Machine:
        """Return a box that is off, over the tree and what else it shall find there."""
        assert name not in {machine.name for machine in self.all}, f"a box named {name} is there already"
        self._count += 1
        machine = Machine(name, self._count, [*layers, self._tree], self._folder / f"{self._count}-{name}")
        self._machines.append(machine)
        return machine

    def boot(self, name: str, *layers: Path) -> Machine:
        """Return a box that runs."""
        machine = self.make(name, *layers)
        machine.start()
        return machine

    def keep_as_layer(self, machine: Machine) -> Path:
        """Switch a box off and return what it has written, but for its journal."""
        machine.shut_down()
        shutil.rmtree(machine.path("/var/log/journal"))
        machine.path("/var/log/journal").mkdir()
        layer = self._folder / f"layer-{machine.name}"
        machine.unmount()
        machine.changes.rename(layer)
        self.close(machine)
        return layer

    @contextmanager
    def for_a_while(self) -> Iterator[None]:
        """Throw away what is made from here to the end, also where that is an error."""
        before = self.all
        try:
            yield
        finally:
            self.close(*(machine for machine in self.all if machine not in before))

    def close(self, *machines: Machine) -> None:
        """Throw these boxes away."""
        for machine in machines:
            self._machines.remove(machine)
            machine.close()

    def close_all(self) -> None:
        """Throw every box away."""
        self.close(*self.all)

    def journals(self) -> dict[str, str]:
        """Return the last lines of every box's journal."""
        return {machine.name: machine.last_words() for machine in self._machines}
