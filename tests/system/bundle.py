"""What is installed: the archive of one release, with its `install.sh`."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from system.machine import Machine

PLACE = "/root/bundle"
INSTALL_S = 300.0


@dataclass(frozen=True, slots=True)
class Bundle:
    """One archive."""

    archive: Path

    def unpack(self, machine: Machine) -> None:
        """Carry it to the box, as on a USB stick."""
        place = machine.path(PLACE)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        subprocess.run(["tar", "-xzf", str(self.archive), "-C", str(place)], check=True)

    def install(self, machine: Machine) -> str:
        """Unpack and install."""
        self.unpack(machine)
        return self.do(machine, "install")

    def do(self, machine: Machine, verb: str) -> str:
        """Run `install.sh` with a verb; the bundle must have been unpacked."""
        (script,) = machine.path(PLACE).rglob("install.sh")
        inside = Path(PLACE) / script.parent.relative_to(machine.path(PLACE))
        return machine.run("sh", str(inside / "install.sh"), verb, timeout_s=INSTALL_S)


def newest_bundle(folder: Path) -> Bundle:
    """Return the bundle that was built last."""
    archives = sorted(folder.glob("promptd-*.tar.gz"), key=lambda path: path.stat().st_mtime)
    assert archives, f"no bundle in {folder}: run `make bundle`"
    return Bundle(archives[-1])
