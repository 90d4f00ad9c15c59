"""The journal's own protocol: one datagram for each log line (systemd.io/JOURNAL_NATIVE_PROTOCOL).

`journalctl -u promptd PROMPTD_EVENT=reloaded` finds a line by its fields; its message is the same JSON as
without a journal.
"""

import json
import re
import socket
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

SOCKET = "/run/systemd/journal/socket"
PREFIX = "PROMPTD_"
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Log levels as sd-daemon(3) counts them."""
OWN_FIELDS = {"level", "timestamp"}
"""The journal has a field of its own for these."""
NAME_CHARACTERS = 64
"""Longer names of fields are not taken (journald's journal-def.h)."""
LENGTH_BYTES = 8

_JSON = structlog.processors.JSONRenderer(ensure_ascii=False)


class ToJournal:
    """The last processor of structlog: sends the line, or returns it for standard error if it cannot."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __call__(self, logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        """Send a line with its fields.

        Raises:
            structlog.DropEvent: it is sent, and there is nothing left to write.
        """
        priority = PRIORITIES.get(method, PRIORITIES["info"])
        fields = {name_of(key): _text(value) for key, value in event.items() if key not in OWN_FIELDS}
        line = str(_JSON(logger, method, event))
        own = {"MESSAGE": line, "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": "promptd"}
        if self._take(datagram({**fields, **own})):
            raise structlog.DropEvent
        return f"<{priority}>{line}"  # what the journal reads from standard error begins so

    def _take(self, entry: bytes) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stream:
                stream.sendto(entry, self._address)
        except OSError:  # there is no journal, or the line is too long for a datagram
            return False
        return True


def datagram(fields: Mapping[str, str]) -> bytes:
    """Return an entry: of each field its name, the length of its value, and the value, also of many lines."""
    return b"".join(_field(name, value) for name, value in fields.items())


def name_of(key: str) -> str:
    """Return a field's name as the journal takes it: capitals, digits and '_'."""
    return (PREFIX + re.sub(r"[^A-Z0-9_]", "_", key.upper()))[:NAME_CHARACTERS]


def _field(name: str, value: str) -> bytes:
    raw = value.encode("utf-8", "backslashreplace")
    return name.encode() + b"\n" + len(raw).to_bytes(LENGTH_BYTES, "little") + raw + b"\n"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
