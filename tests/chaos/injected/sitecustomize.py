"""What a scenario injects into the agent and its worker; Python imports this at its start from PYTHONPATH.

A prompt that holds `!SIGSEGV!` (or any signal's name) ends the worker so: that is the poison. And under
libfaketime, sleeping is done by other means: its version 0.9.10 breaks the call under `time.sleep`.
"""

import os
import re
import select
import signal
import sys
import time
from typing import Any, SupportsIndex

POISON = re.compile(r"!(SIG[A-Z]+)!")


def _sleep(duration_s: float | SupportsIndex, /) -> None:
    select.select([], [], [], float(duration_s))


if "FAKETIME_TIMESTAMP_FILE" in os.environ:
    time.sleep = _sleep

if "agent.worker.main" in sys.orig_argv:
    from agent.engines.echo import Echo

    _swallow = Echo.text_tokens

    def _text_tokens(self: Echo, text: str) -> Any:  # noqa: ANN401 -- as the echo engine's
        """Die of the text, if it is poison."""
        if found := POISON.search(text):
            os.kill(os.getpid(), signal.Signals[found[1]])
        return _swallow(self, text)

    Echo.text_tokens = _text_tokens  # type: ignore[method-assign]  # that is the poison
