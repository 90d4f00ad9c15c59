"""Tries things from inside the sandbox of a unit: its rules, and a program in place of promptd."""

import json
from typing import Any

from system.machine import Machine

PYTHON = "/opt/promptd/current/bin/python"

DROP_IN = """\
[Unit]
Wants=
PartOf=
[Service]
Type=oneshot
Restart=no
WatchdogSec=0
ExecStart=
ExecStart={python} /usr/local/lib/probe.py
StandardOutput=truncate:/run/probe.json
RuntimeDirectoryPreserve=yes
"""

FRAME = """\
import errno, json, os, signal, socket, sys

def attempt(deed):
    try:
        deed()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

{program}
json.dump(answer(), sys.stdout)
"""


def probe(machine: Machine, unit: str, program: str) -> Any:  # noqa: ANN401 -- JSON
    """Run `program` under all rules of `unit` and return what its function `answer` returns.

    `attempt(deed)` tells what the kernel says to a deed: `done`, or the name of the error.
    """
    rules = machine.run("systemctl", "cat", unit)
    machine.write("/usr/local/lib/probe.py", FRAME.format(program=program))
    machine.write("/etc/systemd/system/probe.service", rules)
    machine.write("/etc/systemd/system/probe.service.d/probe.conf", DROP_IN.format(python=PYTHON))
    machine.run("systemctl", "daemon-reload")
    try:
        machine.run("systemctl", "start", "probe")
    finally:
        machine.run("rm", "-r", "/etc/systemd/system/probe.service", "/etc/systemd/system/probe.service.d")
    return json.loads(machine.run("cat", "/run/probe.json"))
