"""Where the boxes live: a bridge that the test is a member of, and a place in memory for their files.

`make test-system` runs pytest apart from the machine: in new namespaces for network, mounts and processes.
What the test makes there is gone with its last process, however that ends; only control groups can remain.
"""

import os
import subprocess
from pathlib import Path

BRIDGE = "boxes"
NETWORK = "10.77.0"
HOST = f"{NETWORK}.1"
FILES = Path("/run/boxes")
"""Beside the notes of systemd-nspawn. Its fsync costs nothing: times of the ledger are measured elsewhere."""
BROKER_NAME = "broker.lan"
HOSTS = f"127.0.0.1 localhost\n{HOST} {BROKER_NAME}\n"
"""What everybody here has as /etc/hosts: there is no name server."""


def is_apart() -> bool:
    """Whether this process is root in a network without a way out."""
    return os.geteuid() == 0 and not Path("/proc/net/route").read_text().splitlines()[1:]


def open_lan() -> Path:
    """Make the bridge, and a `/run` and `/etc/hosts` that nobody else sees; return the folder for boxes."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    Path("/run/hosts").write_text(HOSTS)
    subprocess.run(["mount", "--bind", "/run/hosts", "/etc/hosts"], check=True)
    _ip("link", "set", "lo", "up")
    _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("address", "add", f"{HOST}/24", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    FILES.mkdir()
    return FILES


def address(number: int) -> str:
    """Return the address of a box."""
    return f"{NETWORK}.{10 + number}"


def cut(box: str) -> None:
    """Pull the cable of a box: no packet passes, and nobody is told."""
    _ip("link", "set", f"vb-{box}", "down")


def mend(box: str) -> None:
    """Put the cable back."""
    _ip("link", "set", f"vb-{box}", "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
