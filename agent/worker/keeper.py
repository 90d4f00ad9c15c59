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

from agent.hardware.cgroup import OomCount
from agent.host.kernel import keep_no_core
from agent.host.systemd import Notifier, passed_socket, watchdog_interval_s
from agent.worker.child import GRACE_S, LAST_WORDS_S, listen_to, start_child
from agent.worker.death import Ended, LastWords
from agent.worker.framing import framed

TELL_S = 1.0


class Keeper:
    """Gives agents their workers, one agent after the other."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._notifier = Notifier()
        self._watchdog_s = watchdog_interval_s()

    def run(self) -> None:
        """Wait for agents until SIGTERM ends the process."""
        self._notifier.ready("waiting for the agent")
        while True:
            self._wait_for({self._listener.fileno(): select.POLLIN})
            stream, _ = self._listener.accept()
            with stream:
                self._serve(stream)

    def _serve(self, stream: socket.socket) -> None:
        """Let a worker serve this agent until one of them is gone; tell the agent how the worker ended."""
        count, words = OomCount(), LastWords()
        with start_child(["--fd", str(stream.fileno())], pass_fds=[stream.fileno()]) as child:
            ear = listen_to(child, words)
            try:
                code = self._end(child, stream)
            finally:
                child.kill()
            ear.join(LAST_WORDS_S)
        body = asdict(Ended(code, count.since(), words.fresh()))
        stream.settimeout(TELL_S)
        with contextlib.suppress(OSError):  # the agent has hung up
            stream.sendall(framed(json.dumps(body).encode()))

    def _end(self, child: "subprocess.Popen[bytes]", stream: socket.socket) -> int:
        """Wait for the worker's end, and bring it about when the agent hangs up; return the exit code."""
        ended = os.pidfd_open(child.pid)
        try:
            # What the agent says is for the worker.
            self._wait_for({ended: select.POLLIN, stream.fileno(): select.POLLRDHUP})
        finally:
            os.close(ended)
        try:
            return child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    def _wait_for(self, events: dict[int, int]) -> None:
        """Wait for one of the events of poll(2), and feed the watchdog before and meanwhile.

        Before, because waits that an event has ended early add up.
        """
        self._notifier.alive()
        poll = select.poll()
        for file, event in events.items():
            poll.register(file, event)
        while not poll.poll(self._watchdog_s and self._watchdog_s * 1000):
            self._notifier.alive()


def main(arguments: Sequence[str] | None = None) -> int:
    """Listen for agents, one after the other, until SIGTERM."""
    parser = argparse.ArgumentParser(prog="promptd-engine", description=main.__doc__)
    parser.add_argument("--listen", type=Path, help="the path of the socket; default: the socket unit's")
    path: Path | None = parser.parse_args(arguments).listen
    keep_no_core()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the worker ends with this process
    listener = _listen_on(path) if path else passed_socket()
    if listener is None:
        parser.error("no socket unit has started this; name a socket with --listen")
    with listener:
        Keeper(listener).run()
    return 0


def _listen_on(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(1)
    return listener


if __name__ == "__main__":
    sys.exit(main())
