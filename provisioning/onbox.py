"""What is run on a box by SSH: shell, small enough to be read before it is trusted.

`promptd` is there the command that works as its service does (`scripts/as-service.sh`).
"""

import shlex

UNPACK_AND_PROVISION = """\
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
tar -xzf -
sh ./provision.sh
"""
"""Reads the bundle on standard input."""

ACCEPT = """\
systemctl stop promptd
promptd identity accept - || { code=$?; systemctl start promptd; exit $code; }
"""
"""Takes the signed certificate: the reply, JSON, on standard input; the agent rests."""
MACHINE = "uname -m"
RESTART = "systemctl restart promptd"


def request(device: str) -> str:
    """Return what makes a key on the box, and prints the request for its certificate."""
    return f"promptd identity request --name {shlex.quote(device)}"
