"""The engine process: holds the model, has no network and no keys, ends when the agent hangs up.

It loads one engine and never a second one: the memory of native libraries is only surely freed by ending the
process (onnxruntime issue 26831). It reads frames on one thread and computes on another.
"""

import argparse
import contextlib
import ctypes
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from agent.host.systemd import Notifier
from agent.worker.frames import SECRET_BYTES, Broken, Channel, FrameError, Load, Loaded, ToWorker
from agent.worker.generation import Generation

if TYPE_CHECKING:
    from agent.engines.contract import Engine

PR_SET_PDEATHSIG = 1
MAX_WAITING_FRAMES = 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one agent: over a socket it left us, or called by us, or on a path to listen on."""
    parser = argparse.ArgumentParser(prog="promptd-engine", description=main.__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fd", type=int, help="an inherited, connected Unix socket")
    where.add_argument("--call", type=int, help="a loopback port of the agent; the secret is on stdin")
    where.add_argument("--listen", type=Path, help="a path to listen on for one agent")
    options = parser.parse_args(arguments)
    if options.listen:
        return serve(Channel(_wait_for_agent(options.listen)))
    _die_with_parent()
    return serve(Channel(_call_agent(options.call) if options.call else socket.socket(fileno=options.fd)))


def serve(channel: Channel) -> int:
    """Load what the agent asks for and compute until it hangs up."""
    frames: queue.Queue[ToWorker | None] = queue.Queue(maxsize=MAX_WAITING_FRAMES)
    threading.Thread(target=_read, args=(channel, frames.put), name="frames", daemon=True).start()
    first = frames.get()
    if not isinstance(first, Load):
        return 0 if first is None else 1
    if first.options.gpu_uuid:
        os.environ["CUDA_VISIBLE_DEVICES"] = first.options.gpu_uuid
    try:
        engine: Engine = import_module(first.module).open_engine(first.options)
        with contextlib.closing(engine):
            channel.send(Loaded(engine.facts))
            Generation(engine, first.options, frames, channel.send).run()
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 -- border: a native library may fail in any way
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201 -- the agent reads it
        with contextlib.suppress(OSError):
            channel.send(Broken(f"{error}"))
        return 1
    return 0


def _read(channel: Channel, hand_over: Callable[[ToWorker | None], None]) -> None:
    try:
        while frame := channel.receive_from_agent():
            hand_over(frame)
    except FrameError as error:
        print(f"the agent broke the frame language: {error}", file=sys.stderr, flush=True)  # noqa: T201 -- as above
    hand_over(None)


def _die_with_parent() -> None:
    """Ask Linux to end this process with its parent: an orphan would hold the model's memory for ever.

    A parent that died before this call is noticed by the end of its stream.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the agent's to handle


def _call_agent(port: int) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port))
    stream.sendall(sys.stdin.buffer.read(SECRET_BYTES))
    return stream


def _wait_for_agent(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o660)
        listener.listen(1)
        Notifier().ready(f"waiting for the agent on {path}")
        stream, _ = listener.accept()
    return stream


if __name__ == "__main__":
    sys.exit(main())
