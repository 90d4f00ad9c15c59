"""One engine worker as the agent sees it: a channel, and a death with a cause."""

import hmac
import secrets
import socket
import struct
import subprocess
import sys
from pathlib import Path

import structlog
import tenacity

from agent.hardware.cgroup import OomCount
from agent.worker.child import GRACE_S, LAST_WORDS_S, listen_to, start_child
from agent.worker.death import BREACH, KILLED, Death, Ended, LastWords, classify
from agent.worker.frames import SECRET_BYTES, Channel, FromWorker

LOG = structlog.get_logger("promptd.worker")

SEND_TIMEOUT_S = 5
CALL_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S, CONNECT_PAUSE_S = 5.0, 0.1
ENDED = Death("ended by promptd")
OUR_KILL = 1 if sys.platform == "win32" else KILLED
"""Exit code of a child that `Popen.kill` has ended."""


class Worker:
    """A live worker: a child of ours, or a unit of systemd that listens on a socket."""

    def __init__(self, stream: socket.socket, child: "subprocess.Popen[bytes] | None" = None) -> None:
        _limit_sending(stream)
        self.channel = Channel(stream)
        self._stream = stream
        self._child = child
        self._killed_as: Death | None = None
        self._words = LastWords()
        self._ended: Ended | None = None
        self._oom_count = OomCount()
        self._ear = listen_to(child, self._words, _log) if child else None

    def receive(self) -> FromWorker | None:
        """Wait for the worker's next frame; None when no more will come.

        Raises:
            TimeoutError: none came for as long as `patience` allows.
            FrameError: what came is no frame.
        """
        frame = self.channel.receive_from_worker()
        if isinstance(frame, Ended):
            self._ended = frame
            return None
        return frame

    def patience(self, timeout_s: float | None) -> None:
        """Set how long the next frame may take; None waits for ever."""
        self._stream.settimeout(timeout_s)

    def seal(self) -> None:
        """Say that text of requesters comes to the worker from now on: its words are its own no more."""
        self._words.seal()

    def kill(self, death: Death = ENDED) -> None:
        """End the worker at once, as when it hangs; `bury` returns this death."""
        self._killed_as = self._killed_as or death
        if self._child:
            self._child.kill()
        self.channel.close()

    def bury(self) -> Death:
        """Hang up, make sure that the process is gone, and say why it went."""
        self.channel.close()
        if self._child is None:
            return self._killed_as or self._death_of_unit()
        try:
            code = self._child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill(Death("hang at its end"))
            code = self._child.wait()
        if self._ear:
            self._ear.join(LAST_WORDS_S)
        killed_as = self._killed_as
        if killed_as and (code == OUR_KILL or killed_as.cause == BREACH):
            return killed_as
        return classify(code, self._words, oom_kills=self._oom_count.since())

    def _death_of_unit(self) -> Death:
        """Say what the keeper of the unit has told, which dies with the unit."""
        if self._ended is None:
            return Death("hung up", "journalctl -u promptd-engine tells why")
        for line in self._ended.words:
            _log(self._words.hear(line.encode()))
        return classify(self._ended.code, self._words, oom_kills=self._ended.oom_kills)


def _log(line: str) -> None:
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
        child = start_child(["--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()])
    return Worker(ours, child)


def spawn_over_loopback() -> Worker:
    """Start a worker that calls back over TCP; it proves itself with a secret from its standard input.

    Raises:
        OSError: the child does not call back, or somebody else does.
    """
    secret = secrets.token_bytes(SECRET_BYTES)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        child = start_child(["--call", str(listener.getsockname()[1])], stdin=subprocess.PIPE)
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
