"""The engine process: holds the model, has no network and no keys, ends when the agent hangs up.

It loads one engine and never a second one: the memory of native libraries is only surely freed by ending the
process (onnxruntime issue 26831). It reads frames on one thread and computes on another.
"""

import argparse
import contextlib
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from agent.host.kernel import die_with, keep_no_core
from agent.worker.death import clipped
from agent.worker.frames import (
    SECRET_BYTES,
    TOLD_CHARS,
    Broken,
    Channel,
    FrameError,
    Load,
    Loaded,
    ToWorker,
)
from agent.worker.generation import Generation
from agent.worker.loading import Account

if TYPE_CHECKING:
    from agent.engines.contract import Engine

MAX_WAITING_FRAMES = 1024
LAST_STEP_S = 10.0
"""For the step that runs when the agent hangs up, and for freeing the model."""
EXIT_ORPHAN, EXIT_STUCK = 3, 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one agent: over a socket that was left to us, or called by us."""
    parser = argparse.ArgumentParser(prog="promptd-engine", description=main.__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--fd", type=int, help="an inherited, connected Unix socket")
    where.add_argument("--call", type=int, help="a loopback port of the agent; the secret is on stdin")
    parser.add_argument("--parent", type=int, default=0, help="the process to end with")
    options = parser.parse_args(arguments)
    keep_no_core()
    os.environ["GGML_NO_BACKTRACE"] = "1"  # a failed assertion would start a debugger on this process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the agent's to handle
    if not die_with(options.parent):
        return EXIT_ORPHAN
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
        engine: Engine = import_module(first.module).open_engine(first.options, Account(channel.send))
        with contextlib.closing(engine):
            channel.send(Loaded(engine.facts))
            Generation(engine, first.options, frames, channel.send).run()
    except BrokenPipeError:
        return 0
    except Exception as error:  # noqa: BLE001 -- border: a native library may fail in any way
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201 -- the agent reads it
        with contextlib.suppress(OSError):
            channel.send(Broken(clipped(str(error), TOLD_CHARS)))
        return 1
    return 0


def _read(channel: Channel, hand_over: Callable[[ToWorker | None], None]) -> None:
    try:
        while frame := channel.receive_from_agent():
            hand_over(frame)
    except FrameError as error:
        print(f"the agent broke the frame language: {error}", file=sys.stderr, flush=True)  # noqa: T201 -- as above
    _end_even_if_stuck()
    hand_over(None)


def _end_even_if_stuck() -> None:
    """End this process soon: native code may never come back to hear that the agent has hung up."""
    timer = threading.Timer(LAST_STEP_S, os._exit, (EXIT_STUCK,))
    timer.daemon = True
    timer.start()


def _call_agent(port: int) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port))
    stream.sendall(sys.stdin.buffer.read(SECRET_BYTES))
    return stream


if __name__ == "__main__":
    sys.exit(main())
