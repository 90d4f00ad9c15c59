"""Proof of life: every loop beats, and the watchdog is fed only while all of them do."""

import threading
import time
from collections.abc import Callable


class Pulse:
    """Remembers when each loop last moved."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._limits_s: dict[str, float] = {}
        self._seen_s: dict[str, float] = {}

    def watch(self, loop: str, limit_s: float) -> Callable[[], None]:
        """Expect `loop` to move every `limit_s` seconds; return the function it calls when it does."""
        self._limits_s[loop] = limit_s
        self._seen_s[loop] = self._clock_s()

        def beat() -> None:
            self._seen_s[loop] = self._clock_s()

        return beat

    def beat_here(self) -> None:
        """Beat for the loop that has this thread, as from deep inside of it."""
        loop = threading.current_thread().name
        if loop in self._seen_s:
            self._seen_s[loop] = self._clock_s()

    def late(self) -> list[str]:
        """Return the loops that have not moved for too long."""
        now_s = self._clock_s()
        return [loop for loop, limit_s in self._limits_s.items() if now_s - self._seen_s[loop] > limit_s]


def spawn(
    name: str, body: Callable[[], None], on_death: Callable[[str, BaseException], None]
) -> threading.Thread:
    """Run `body` on a named thread that never dies quietly."""

    def run() -> None:
        try:
            body()
        except BaseException as error:  # noqa: BLE001 -- border: nobody above would see it
            on_death(name, error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
