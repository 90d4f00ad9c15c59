"""What is run on a box by SSH: shell, small enough to be read before it is trusted.

`BOX_ROOT` is where the files of the box begin; it is empty on a real one.
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

AS_PROMPTD = """\
set -eu
root=${BOX_ROOT-}
as_promptd() {
    set -- env STATE_DIRECTORY="$root/var/lib/promptd" "$root/opt/promptd/current/bin/promptd" "$@"
    if id promptd > /dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        runuser -u promptd -- "$@"
    else
        "$@"
    fi
}
"""

ACCEPT = """\
systemctl stop promptd
as_promptd identity accept - || { code=$?; systemctl start promptd; exit $code; }
"""
MACHINE = "uname -m"
RESTART = "systemctl restart promptd"


def request(device: str) -> str:
    """Return what makes a key on the box, and prints the request for its certificate."""
    return f"{AS_PROMPTD}as_promptd identity request --name {shlex.quote(device)}\n"


def accept() -> str:
    """Return what takes the signed certificate: the reply, JSON, on standard input; the agent rests."""
    return f"{AS_PROMPTD}{ACCEPT}"
