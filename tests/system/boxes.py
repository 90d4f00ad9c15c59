"""All boxes of a test run: boots them, hands out their numbers, and throws them away."""

import shutil
from pathlib import Path

from system.machine import Machine


class Boxes:
    """What one session of pytest has booted, in a folder of its own."""

    def __init__(self, folder: Path, tree: Path) -> None:
        self._folder, self._tree = folder, tree
        self._machines: list[Machine] = []
        self._count = 0

    def make(self, name: str, *layers: Path) -> Machine:
        """Return a box that is off, over the tree and what else it shall find there."""
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

    def close(self, machine: Machine) -> None:
        """Throw one box away."""
        self._machines.remove(machine)
        machine.close()

    def close_all(self) -> None:
        """Throw every box away."""
        for machine in list(self._machines):
            self.close(machine)

    def journals(self) -> dict[str, str]:
        """Return the last lines of every box's journal."""
        return {machine.name: machine.last_words() for machine in self._machines}
