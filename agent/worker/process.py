"""One engine worker as the agent sees it: a channel, and a death with a cause."""

import hmac
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
import tenacity

from agent.worker.frames import SECRET_BYTES, Channel

LOG = structlog.get_logger("promptd.worker")

STDERR_LINES = 40
GRACE_S, LAST_WORDS_S = 2.0, 0.2
SEND_TIMEOUT_S = 5
CALL_TIMEOUT_S = 30.0
KILLED = -9
"""Exit code of a child that SIGKILL ended; Windows has no such signal."""
CONNECT_TIMEOUT_S, CONNECT_PAUSE_S = 5.0, 0.1


@dataclass(frozen=True, slots=True)
class Death:
    """Why a worker ended."""

    reason: str
    is_out_of_memory: bool = False


class Worker:
    """A live worker: a child of ours, or a unit of systemd that listens on a socket."""

    def __init__(self, stream: socket.socket, child: "subprocess.Popen[bytes] | None" = None) -> None:
        _limit_sending(stream)
        self.channel = Channel(stream)
        self._stream = stream
        self._child = child
        self._was_killed = False
        self._last_words: deque[str] = deque(maxlen=STDERR_LINES)
        self._ear = threading.Thread(target=self._listen, name="worker-stderr", daemon=True)
        if child:
            self._ear.start()

    def patience(self, timeout_s: float | None) -> None:
        """Set how long the next frame may take; None waits for ever."""
        self._stream.settimeout(timeout_s)

    def kill(self) -> None:
        """End the worker at once, as when it hangs."""
        self._was_killed = True
        if self._child:
            self._child.kill()
        self.channel.close()

    def bury(self) -> Death:
        """Hang up, make sure that the process is gone, and say why it went."""
        self.channel.close()
        if self._child is None:
            return Death("the engine unit hung up; its journal tells why (journalctl -u promptd-engine)")
        try:
            code = self._child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._child.wait()
        self._ear.join(LAST_WORDS_S)
        return self._classify(code)

    def _classify(self, code: int) -> Death:
        words = " / ".join(self._last_words) or "no last words"
        if code == KILLED and not self._was_killed:
            return Death(f"killed by SIGKILL, most likely out of memory ({words})", is_out_of_memory=True)
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Death(f"{cause} ({words})")

    def _listen(self) -> None:
        if self._child is None or self._child.stderr is None:
            return
        with self._child.stderr as stderr:
            for raw in stderr:
                line = raw.decode("utf-8", "replace").rstrip()
                self._last_words.append(line)
                LOG.debug("worker_stderr", line=line)


def _limit_sending(stream: socket.socket) -> None:
    """Keep a worker that reads nothing from holding up the thread that speaks to it."""
    if sys.platform != "win32":
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_TIMEOUT_S, 0))


def spawn() -> Worker:
    """Start a worker as a child of this process.

    Raises:
        OSError: the child does not call back.
    """
    if not hasattr(socket, "AF_UNIX"):  # Python on Windows has no Unix sockets
        return spawn_over_loopback()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        child = _child(["--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    return Worker(ours, child)


def spawn_over_loopback() -> Worker:
    """Start a worker that calls back over TCP; it proves itself with a secret from its standard input.

    Raises:
        OSError: the child does not call back, or somebody else does.
    """
    secret = secrets.token_bytes(SECRET_BYTES)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        child = _child(["--call", str(listener.getsockname()[1])], stdin=subprocess.PIPE)
        if child.stdin:
            with child.stdin as stdin:
                stdin.write(secret)
        listener.settimeout(CALL_TIMEOUT_S)
        stream, _ = listener.accept()
    stream.settimeout(CALL_TIMEOUT_S)
    if not hmac.compare_digest(stream.recv(SECRET_BYTES, socket.MSG_WAITALL), secret):
        child.kill()
        stream.close()
        raise OSError("somebody else called back instead of the worker")
    return Worker(stream, child)


def _child(arguments: list[str], *, stdin: int, pass_fds: Sequence[int] = ()) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 -- our own interpreter and module
        [sys.executable, "-m", "agent.worker.main", *arguments],
        pass_fds=pass_fds,
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
    )


def connect(path: Path) -> Worker:
    """Connect to a worker that listens on `path`; a unit that restarts gets a few seconds to be back.

    Raises:
        OSError: nobody listens there.
    """
    patience = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(OSError),
        wait=tenacity.wait_fixed(CONNECT_PAUSE_S),
        stop=tenacity.stop_after_delay(CONNECT_TIMEOUT_S),
        reraise=True,
    )
    return patience(_connect_once, path)


def _connect_once(path: Path) -> Worker:
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.connect(str(path))
    except OSError:
        stream.close()
        raise
    return Worker(stream)
