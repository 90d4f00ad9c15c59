"""How the process of an engine is started: our own interpreter, with its words on a pipe."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from agent.worker.death import LINE_BYTES, LastWords

GRACE_S = 2.0
"""For the step that runs when its agent hangs up, and for freeing the model."""
LAST_WORDS_S = 0.2


def start_child(
    arguments: Sequence[str], *, pass_fds: Sequence[int] = (), stdin: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    """Start a worker that ends with this process.

    Raises:
        OSError: it cannot be started.
    """
    return subprocess.Popen(  # noqa: S603 -- our own interpreter and module
        [sys.executable, "-m", "agent.worker.main", *arguments, "--parent", str(os.getpid())],
        pass_fds=pass_fds,
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
    )


def listen_to(
    child: "subprocess.Popen[bytes]", words: LastWords, tell: Callable[[str], None] = lambda _: None
) -> threading.Thread:
    """Keep what the child writes to standard error; the thread ends when it writes no more."""

    def listen() -> None:
        if child.stderr is None:
            return
        with child.stderr as stderr:
            while raw := stderr.readline(LINE_BYTES):
                tell(words.hear(raw))

    ear = threading.Thread(target=listen, name="worker-stderr", daemon=True)
    ear.start()
    return ear
