"""Who may come in by SSH: whoever has the operator's key, as root."""

import subprocess
from pathlib import Path

from system.machine import Machine

KEYS = "/root/.ssh/authorized_keys"


def make_key(folder: Path) -> str:
    """Make a pair of keys for a session of tests and return the public one; the other is `folder/id`."""
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", str(folder / "id")]
    subprocess.run(made, check=True)
    return (folder / "id.pub").read_text()


def let_in(machine: Machine, public_key: str) -> Machine:
    """Prepare a box that is off, as whoever sets boxes up does: sshd starts, and this key is good."""
    machine.write(KEYS, public_key, 0o600)
    machine.path("/root/.ssh").chmod(0o700)
    machine.start_at_boot("ssh.service")
    return machine
