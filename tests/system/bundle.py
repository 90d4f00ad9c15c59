"""What is installed: the archive of one release, with its `install.sh`."""

import platform
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
        subprocess.run(
            ["tar", "-xzf", str(self.archive), "-C", str(place), "--strip-components=1"], check=True
        )

    def install(self, machine: Machine, settings: str) -> str:
        """Unpack and install, with settings that came along."""
        self.unpack(machine)
        machine.write(f"{PLACE}/promptd.toml", settings)
        return self.do(machine, "install", "--settings", f"{PLACE}/promptd.toml")

    def do(self, machine: Machine, *words: str) -> str:
        """Run `install.sh`; the bundle must have been unpacked."""
        return machine.run(f"{PLACE}/install.sh", *words, timeout_s=INSTALL_S)


def bundle_in(folder: Path, release: str) -> Bundle:
    """Return the bundle of a release that was built for this machine."""
    return Bundle(folder / f"promptd-{release}-{platform.machine()}.tar.gz")
