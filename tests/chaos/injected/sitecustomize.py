"""What a scenario injects into the agent and its worker; Python imports this at its start from PYTHONPATH.

A prompt that holds `!SIGSEGV!` (or any signal's name) ends the worker so: that is the poison. A file that
CHAOS_FATE names holds what the next worker meets that comes by: `exit 1`, `hang in decode`, and so on.
CHAOS_CLOCK_S shortens the clocks by which the agent judges a worker's silence. And under libfaketime,
sleeping is done by other means: its version 0.9.10 breaks the call under `time.sleep`.
"""

import contextlib
import os
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, SupportsIndex

POISON = re.compile(r"!(SIG[A-Z]+)!")
FATE = os.environ.get("CHAOS_FATE", "")
GARBAGE = b"\xff" * 64
LEAK_BYTES = 16 << 20
IS_WORKER = "agent.worker.main" in sys.orig_argv


def _sleep(duration_s: float | SupportsIndex, /) -> None:
    select.select([], [], [], float(duration_s))


def _come_by(step: str) -> None:
    """Meet the fate that waits at this step, or anywhere; it is met once."""
    with contextlib.suppress(OSError):  # it is another worker's by now
        fate, _, place = Path(FATE).read_text().partition(" in ")
        if place in ("", step):
            Path(FATE).unlink()
            _meet(fate)


def _meet(fate: str) -> None:
    match fate.split():
        case ["exit", code]:
            os._exit(int(code))
        case ["hang"]:
            threading.Event().wait()
        case ["garbage"]:
            os.write(int(sys.argv[sys.argv.index("--fd") + 1]), GARBAGE)
        case ["leak"]:
            leak = []
            while True:
                leak.append(b"\1" * LEAK_BYTES)
        case [name]:
            os.kill(os.getpid(), signal.Signals[name])
            threading.Event().wait()


if "FAKETIME_TIMESTAMP_FILE" in os.environ:
    time.sleep = _sleep

if "CHAOS_CLOCK_S" in os.environ and not IS_WORKER:
    from agent.flow import patience
    from agent.worker import start

    start.LOAD_TIMEOUT_S = patience.FIRST_TOKEN_S = patience.NEXT_TOKEN_S = float(os.environ["CHAOS_CLOCK_S"])
    patience.STEPS = patience.CHUNK_TOKENS = 1

if IS_WORKER:
    from agent.engines import echo
    from agent.engines.contract import Feed, Logits
    from agent.engines.options import EngineOptions

    class Doomed(echo.Echo):
        """Echo, until it meets its fate."""

        def __init__(self, options: EngineOptions) -> None:
            _come_by("load")
            super().__init__(options)
            self._slots: list[int] = []

        def text_tokens(self, text: str) -> Any:  # noqa: ANN401 -- as the echo engine's
            """Die of the text, if it is poison."""
            if found := POISON.search(text):
                os.kill(os.getpid(), signal.Signals[found[1]])
            return super().text_tokens(text)

        def forward(self, feeds: Sequence[Feed]) -> list[Logits]:
            """Compute, unless this is the step."""
            before, self._slots = self._slots, [feed.slot for feed in feeds]
            if not all(feed.start for feed in feeds):
                _come_by("prefill")
            elif self._slots == before:  # the same sequences as in the step before, and no new one
                _come_by("decode")
            return super().forward(feeds)

    echo.Echo = Doomed  # type: ignore[misc]  # that is the injection
