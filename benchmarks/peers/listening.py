"""Waits until a server that was just started answers."""

import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.answer import PeerError

READY_TIMEOUT_S = 180.0
POLL_S = 0.1


def wait_until_healthy(port: int, path: str, log: Path) -> None:
    """Return as soon as the path answers 200.

    Raises:
        PeerError: it did not within three minutes.
    """
    end_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < end_s:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(POLL_S)
    raise PeerError(f"the server does not answer: {log.read_text(errors='replace')[-2000:]}")
