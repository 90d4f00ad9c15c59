"""The language between the agent and the engine worker: length-prefixed JSON, checked on both sides.

The agent treats what the worker says as untrusted input: every frame is bounded and validated.
"""

import contextlib
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from agent.engines.options import EngineFacts, EngineOptions, Finish, Speeds
from agent.wire.prompt import Grammar, Message, Sampling
from agent.worker.death import Ended
from agent.worker.framing import LENGTH, MAX_FRAME_BYTES, framed

SECRET_BYTES = 32
"""What a worker that calls back over TCP sends before its first frame."""
MOST = 1 << 31
"""More of anything is no honest number, and what is computed from it may be none at all."""
RECEIVE_BYTES = 65_536
"""At once: mostly a whole frame, and often several."""
TICK_S = 1.0
"""So often is told that somebody waits for a frame, and does nothing else."""
TOLD_CHARS = 500
"""The longest text that a worker may tell of itself; it is published."""

Count = Annotated[int, Field(ge=0, le=MOST)]
Milliseconds = Annotated[float, Field(ge=0, le=MOST)]
Share = Annotated[float, Field(ge=0, le=1)]


def _plausible(facts: EngineFacts) -> EngineFacts:
    """Refuse facts that no engine has; they are published as they are."""
    numbers = (facts.context_length, facts.threads, facts.vocabulary, facts.cache_tokens)
    if not 1 <= facts.slots <= MOST or not all(0 <= number <= MOST for number in numbers):
        raise ValueError("a number is out of range")
    if max(map(len, (facts.device, facts.library, facts.note))) > TOLD_CHARS:
        raise ValueError("a text is too long")
    return facts


class FrameError(Exception):
    """The other side broke the rules of this language."""


@dataclass(frozen=True, slots=True)
class Load:
    """Agent to worker, first and once: load this engine."""

    options: EngineOptions
    module: str
    kind: Literal["load"] = "load"


@dataclass(frozen=True, slots=True)
class Generate:
    """Agent to worker: compute this prompt; a slot is free for it."""

    id: str
    messages: tuple[Message, ...]
    text: str
    max_tokens: int | None
    sampling: Sampling
    stop: tuple[str, ...]
    grammar: Grammar | None = None
    deterministic: bool = False
    kind: Literal["generate"] = "generate"


@dataclass(frozen=True, slots=True)
class Cancel:
    """Agent to worker: end this prompt within one step."""

    id: str
    kind: Literal["cancel"] = "cancel"


@dataclass(frozen=True, slots=True)
class Measure:
    """Agent to worker, while nothing runs: measure how fast the engine is."""

    kind: Literal["measure"] = "measure"


@dataclass(frozen=True, slots=True)
class Loading:
    """Worker to agent, while it loads: how far it is; each share is larger than the one before."""

    share: Share
    """0 to 1."""
    kind: Literal["loading"] = "loading"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Worker to agent: the engine is loaded and runs here."""

    facts: Annotated[EngineFacts, AfterValidator(_plausible)]
    kind: Literal["loaded"] = "loaded"


@dataclass(frozen=True, slots=True)
class Broken:
    """Worker to agent, last: the engine could not be loaded or failed; this process ends now."""

    reason: str
    kind: Literal["broken"] = "broken"


@dataclass(frozen=True, slots=True)
class Progress:
    """Worker to agent: new text of an answer, gathered for 50 ms or 256 bytes."""

    id: str
    text: str
    tokens: Count
    kind: Literal["progress"] = "progress"


@dataclass(frozen=True, slots=True)
class Alive:
    """Worker to agent, after a step: it computes, and has had nothing else to say for a second."""

    kind: Literal["alive"] = "alive"


@dataclass(frozen=True, slots=True)
class Finished:
    """Worker to agent: the answer is whole; `text` is what no `Progress` carried yet."""

    id: str
    text: str
    finish: Finish
    prompt_tokens: Count
    tokens: Count
    prompt_ms: Milliseconds
    """From admission to the first token."""
    decode_ms: Milliseconds
    """From the first token to the last."""
    cached_tokens: Count = 0
    """Prompt tokens that were not computed, because an earlier prompt began with them."""
    accepted_tokens: Count = 0
    """Answer tokens that were guessed from the text before, and were right."""
    rejected_tokens: Count = 0
    """Guesses that were wrong."""
    kind: Literal["finished"] = "finished"


@dataclass(frozen=True, slots=True)
class Refused:
    """Worker to agent: this prompt cannot be computed; the engine goes on."""

    id: str
    code: str
    message: str
    kind: Literal["refused"] = "refused"


@dataclass(frozen=True, slots=True)
class Measuring:
    """Worker to agent: how far the measurement is."""

    share: Share
    """0 to 1."""
    kind: Literal["measuring"] = "measuring"


@dataclass(frozen=True, slots=True)
class Measured:
    """Worker to agent: how fast the engine is."""

    speeds: Speeds
    notes: tuple[str, ...]
    """What kept it from being measured as usual."""
    kind: Literal["measured"] = "measured"


ToWorker = Load | Generate | Cancel | Measure
FromWorker = Loading | Loaded | Broken | Alive | Progress | Finished | Refused | Measuring | Measured | Ended

Frame = TypeVar("Frame")

TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(Annotated[ToWorker, Field(discriminator="kind")])
FROM_WORKER: TypeAdapter[FromWorker] = TypeAdapter(
    Annotated[FromWorker, Field(discriminator="kind")]  # a frame without a kind must not become one
)


class Channel:
    """One end of the stream socket. On each side one thread sends and one thread receives."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._received = bytearray()
        """What came with the last frame that was taken and belongs to the next ones."""
        self.idle: Callable[[], None] = lambda: None
        """Called by whoever waits for a frame: at once, and now and then."""

    def send(self, frame: ToWorker | FromWorker) -> None:
        """Send one frame.

        Raises:
            OSError: the other side is gone.
            FrameError: the frame is larger than the language allows.
        """
        body = TO_WORKER.dump_json(frame) if isinstance(frame, ToWorker) else FROM_WORKER.dump_json(frame)
        if len(body) > MAX_FRAME_BYTES:
            raise FrameError(f"a frame of {len(body)} bytes is over the limit of {MAX_FRAME_BYTES}")
        self._stream.sendall(framed(body))

    def receive_from_agent(self) -> ToWorker | None:
        """Wait for the agent's next frame; None at the end of the stream."""
        body = self._read()
        return None if body is None else _check(TO_WORKER, body)

    def receive_from_worker(self) -> FromWorker | None:
        """Wait for the worker's next frame; None at the end of the stream.

        Raises:
            TimeoutError: no frame came for as long as the socket waits.
            FrameError: what came is no frame.
        """
        body = self._read()
        return None if body is None else _check(FROM_WORKER, body)

    def close(self) -> None:
        """End the stream for both sides."""
        with contextlib.suppress(OSError):  # the other side may be gone already
            self._stream.shutdown(socket.SHUT_RDWR)
        self._stream.close()

    def _read(self) -> bytes | None:
        self.idle()
        try:
            head = self._take(LENGTH.size)
            if len(head) < LENGTH.size:
                return None
            (length,) = LENGTH.unpack(head)
            if length > MAX_FRAME_BYTES:
                raise FrameError(f"a frame of {length} bytes was announced; the limit is {MAX_FRAME_BYTES}")
            body = self._take(length)
        except TimeoutError:
            raise
        except (OSError, ValueError):  # closed meanwhile, by whoever ends the worker
            return None
        return body if len(body) == length else None

    def _take(self, size_bytes: int) -> bytes:
        """Return so many bytes, or fewer at the end of the stream."""
        while len(self._received) < size_bytes:
            self._wait()
            piece = self._stream.recv(RECEIVE_BYTES)
            if not piece:
                break
            self._received += piece
        taken = bytes(self._received[:size_bytes])
        del self._received[:size_bytes]
        return taken

    def _wait(self) -> None:
        """Wait for bytes as long as the socket would, and tell that this thread lives."""
        began_s, patience_s = time.monotonic(), self._stream.gettimeout()
        while True:
            left_s = TICK_S if patience_s is None else began_s + patience_s - time.monotonic()
            if select.select([self._stream], [], [], max(0.0, min(TICK_S, left_s)))[0]:
                return
            self.idle()
            if left_s <= 0:
                raise TimeoutError


def _check(adapter: TypeAdapter[Frame], body: bytes) -> Frame:
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        # The rule that is broken, and not what was said instead: that may be text of a prompt.
        raise FrameError(f"a frame breaks its schema: {error.errors()[0]['type']}") from error
