"""Makes the engine worker mortal: a prompt that holds `!SIGSEGV!` (or any signal's name) ends it so.

Python imports this module at its start when this folder is on PYTHONPATH. Only the worker is changed.
"""

import os
import re
import signal
import sys
from typing import Any

POISON = re.compile(r"!(SIG[A-Z]+)!")

if "agent.worker.main" in sys.orig_argv:
    from agent.engines.echo import Echo

    swallow = Echo.text_tokens

    def text_tokens(self: Echo, text: str) -> Any:  # noqa: ANN401 -- as the echo engine's
        """Die of the text, if it is poison."""
        if found := POISON.search(text):
            os.kill(os.getpid(), signal.Signals[found[1]])
        return swallow(self, text)

    Echo.text_tokens = text_tokens  # type: ignore[method-assign]  # that is the poison
