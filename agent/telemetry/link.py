"""What became of the links to the broker, for health and for the status line of systemd."""

import threading
import time
from typing import Any


class LinkRecord:
    """Written on the network thread, read by the reporter."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since_s: float | None = None
        self._links = self._losses = self._lost_sessions = 0
        self.reason = "connecting to the broker"
        """Why there is no link, in a sentence; empty while there is one."""
        self.refusal = ""
        """Why the broker gives us no prompts although it let us in."""

    def connected(self, *, is_session_lost: bool) -> None:
        """Hear that there is a link; a session that is lost takes along what waited in it at the broker."""
        with self._lock:
            self._since_s, self.reason = time.monotonic(), ""
            self._links += 1
            self._lost_sessions += is_session_lost

    def disconnected(self, reason: str) -> None:
        """Hear that there is none."""
        with self._lock:
            self._losses += self._since_s is not None
            self._since_s, self.reason = None, reason

    @property
    def is_first(self) -> bool:
        """Whether this life has seen no link yet."""
        return not self._links

    def body(self) -> dict[str, Any]:
        """Return the `link` part of the health report."""
        with self._lock:
            age_s = None if self._since_s is None else round(time.monotonic() - self._since_s, 1)
            return {"age_s": age_s, "losses": self._losses, "sessions_lost": self._lost_sessions}
