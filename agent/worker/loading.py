"""How far loading is, told to the agent now and then: often enough to be seen, too seldom to cost."""

import time
from collections.abc import Callable

from agent.worker.frames import FromWorker, Loading

STEP_SHARE, STEP_S = 0.01, 1.0


class Account:
    """Called by an engine with the share that is loaded, 0 to 1; only what is more than before is told."""

    def __init__(
        self, send: Callable[[FromWorker], None], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._send = send
        self._clock_s = clock_s
        self._told_share, self._told_s = 0.0, clock_s()

    def __call__(self, share: float) -> None:
        """Tell it when it is 1 % more, or a second after the last time.

        Raises:
            OSError: the agent is gone.
        """
        share, now_s = min(share, 1.0), self._clock_s()
        more = share - self._told_share
        if more >= STEP_SHARE or (more > 0 and now_s - self._told_s >= STEP_S):
            self._told_share, self._told_s = share, now_s
            self._send(Loading(share))
