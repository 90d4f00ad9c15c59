"""The engine unit's own process: gives every agent that connects a fresh worker, and tells why it ended.

It stays light and reads nothing of what passes between the two. The worker inherits the connection; when it
is gone, this process still holds it and sends the last frame. A worker that does not end when its agent hangs
up is killed: native code may never come back to hear of it.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from agent.hardware.cgroup import oom_kills
from agent.host.kernel import keep_no_core
from agent.host.systemd import Notifier
from agent.worker.child import listen_to, start_child
from agent.worker.death import Ended, LastWords
from agent.worker.framing import framed

ROOT = Path("/")
GRACE_S = 2.0
"""For the step that runs when the agent hangs up, and for freeing the model."""
LAST_WORDS_S, TELL_S = 0.2, 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Listen for agents, one after the other, until SIGTERM."""
    parser = argparse.ArgumentParser(prog="promptd-engine", description=main.__doc__)
    parser.add_argument("--listen", type=Path, required=True, help="the path of the socket")
    path: Path = parser.parse_args(arguments).listen
    keep_no_core()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the worker ends with this process
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o660)
        listener.listen(1)
        Notifier().ready(f"waiting for the agent on {path}")
        while True:
            stream, _ = listener.accept()
            with stream:
                serve(stream)


def serve(stream: socket.socket) -> None:
    """Let a worker serve this agent until one of them is gone; tell the agent how the worker ended."""
    before, words = oom_kills(ROOT), LastWords()
    with start_child(["--fd", str(stream.fileno())], pass_fds=[stream.fileno()]) as child:
        ear = listen_to(child, words)
        try:
            code = _end(child, stream)
        finally:
            child.kill()
        ear.join(LAST_WORDS_S)
    after = oom_kills(ROOT)
    kills = None if before is None or after is None else after - before
    body = asdict(Ended(code, kills, words.fresh()))
    stream.settimeout(TELL_S)
    with contextlib.suppress(OSError):  # the agent has hung up
        stream.sendall(framed(json.dumps(body).encode()))


def _end(child: "subprocess.Popen[bytes]", stream: socket.socket) -> int:
    """Wait for the end of the worker, and bring it about when the agent has hung up; return its exit code."""
    ended = os.pidfd_open(child.pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(stream, select.POLLRDHUP)  # what the agent says is for the worker
        poll.poll()
    finally:
        os.close(ended)
    try:
        return child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


if __name__ == "__main__":
    sys.exit(main())
