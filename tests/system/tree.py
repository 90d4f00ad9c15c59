"""The files that every box starts from: Debian 12 with what a box needs before promptd comes. Made once.

What only some need, the broker's machine and boxes that are reached by SSH, is there too, but off.

Run as `python -m system.tree FOLDER`. The mirror is the one that this machine's own packages come from;
packages are kept beside the tree, so that the next tree needs little of the network.
"""

import argparse
import shutil
import subprocess
from pathlib import Path

SUITE = "bookworm"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "iproute2",
    "ca-certificates",
    "python3",
    "python3-venv",
    "libgomp1",  # llama.cpp counts its threads with it
    "openssh-server",
    "mosquitto",
)
OFF = ("ssh.service", "mosquitto.service")
"""Debian starts what is installed; `Machine.start_at_boot` starts them where they are wanted."""


def main() -> None:
    """Make the tree, unless it is there."""
    parser = argparse.ArgumentParser(prog="system.tree", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder.absolute()
    made = folder.with_name(f"{folder.name}.made")
    if made.exists() and made.read_text() == _recipe():
        return
    shutil.rmtree(folder, ignore_errors=True)
    _bootstrap(folder)
    _furnish(folder)
    made.write_text(_recipe())


def _recipe() -> str:
    return "\n".join((SUITE, *PACKAGES, *OFF))


def _bootstrap(folder: Path) -> None:
    packages = folder.with_name(f"{folder.name}.packages")
    packages.mkdir(parents=True, exist_ok=True)
    command = [
        "debootstrap",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        f"--cache-dir={packages}",
    ]
    subprocess.run([*command, SUITE, str(folder), *_mirror()], check=True)


def _mirror() -> list[str]:
    """Return where this machine has its packages of this suite from; empty: debootstrap's own choice."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    wanted = ["Created-By: Packages", f"Codename: {SUITE}", "Component: main"]
    listed = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False).stdout
    return listed.split()[:1]


def _furnish(folder: Path) -> None:
    """Let each box find its own name, number and address when it starts."""
    (folder / "etc/hostname").unlink(missing_ok=True)
    units = ["systemd-networkd.service", "systemd-networkd-wait-online.service"]
    subprocess.run(["systemctl", f"--root={folder}", "--quiet", "enable", *units], check=True)
    subprocess.run(["systemctl", f"--root={folder}", "--quiet", "disable", *OFF], check=True)
    timers = [
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
        "dpkg-db-backup.timer",
        "e2scrub_all.timer",
        "fstrim.timer",
    ]
    subprocess.run(["systemctl", f"--root={folder}", "--quiet", "mask", *timers], check=True)


if __name__ == "__main__":
    main()
