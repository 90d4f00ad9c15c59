"""systemd's notify protocol: one datagram for each state (sd_notify(3)). Does nothing outside systemd."""

import os
import socket
from pathlib import Path

STANDARD_ERROR_FD = 2
FIRST_PASSED_FD = 3  # sd_listen_fds(3)


class Notifier:
    """Tells systemd what this process is doing."""

    def __init__(self, address: str | None = None) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]

    def ready(self, status: str) -> bool:
        """Say that start-up, or a reload, is done."""
        return self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> bool:
        """Say that settings are being read again."""
        return self._send("RELOADING=1")

    def stopping(self) -> bool:
        """Say that shutdown has begun."""
        return self._send("STOPPING=1\nSTATUS=stopping")

    def status(self, status: str) -> bool:
        """Set the line that `systemctl status` shows."""
        return self._send(f"STATUS={status}")

    def alive(self) -> bool:
        """Feed the watchdog."""
        return self._send("WATCHDOG=1")

    def _send(self, state: str) -> bool:
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stream:
                stream.connect(self._address)
                stream.sendall(state.encode())
        except OSError:
            return False
        return True


def watchdog_interval_s() -> float | None:
    """Return how often the watchdog must be fed: half of what the unit allows; None without a watchdog."""
    allowed_us, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not allowed_us.isdecimal() or pid not in ("", str(os.getpid())):
        return None
    return int(allowed_us) / 1_000_000 / 2


def passed_socket() -> socket.socket | None:
    """Return the socket that systemd listens on for this process (sd_listen_fds(3)); None without one."""
    if (os.environ.get("LISTEN_PID"), os.environ.get("LISTEN_FDS")) != (str(os.getpid()), "1"):
        return None
    os.set_inheritable(FIRST_PASSED_FD, False)  # noqa: FBT003 -- it is os's own argument
    return socket.socket(fileno=FIRST_PASSED_FD)


def is_under_journal() -> bool:
    """Whether standard error goes to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        seen = os.fstat(STANDARD_ERROR_FD)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{seen.st_dev}:{seen.st_ino}"


def credentials_dir() -> Path | None:
    """Return where LoadCredential= has put this unit's secrets (systemd.exec(5)); None outside of systemd."""
    given = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return Path(given) if given else None
