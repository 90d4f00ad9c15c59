"""Why a worker ended: its exit code, what the kernel counted, and its last words, as one cause to count.

The reason is published. A worker that has seen a requester's text may repeat it on standard error, so of such
a worker nothing is told but what matches a sign below, and of that only the match (docs/decisions/0010).
"""

import re
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

KILLED = -9
"""Exit code of a child that SIGKILL ended; Windows has no such signal."""
BREACH = "broke the frame language"
OUT_OF_MEMORY, ASSERTION, ENGINE_ERROR = "out of memory", "failed assertion", "engine error"

LINE_BYTES, WORDS_BYTES, LINE_CHARS = 1024, 8192, 200
FRESH_S = 10.0
"""What was said longer before the end has nothing to do with it."""

SIGNS = (
    (re.compile(r"std::bad_alloc|MemoryError|(CUDA error|cudaMalloc failed): out of memory"), OUT_OF_MEMORY),
    (re.compile(r"(?i:(failed to|unable to|cannot) allocate)"), OUT_OF_MEMORY),
    (re.compile(r"[\w-]{1,60}\.\w{1,3}:\d{1,6}: GGML_ASSERT"), ASSERTION),
    (re.compile(r"GGML_ASSERT|terminate called"), ASSERTION),
    (re.compile(r"llama_decode returned -?\d{1,4}"), ENGINE_ERROR),
)
"""What ends a process in ggml, ggml-cuda, libstdc++, NumPy, ONNX Runtime, and in our own worker."""


@dataclass(frozen=True, slots=True)
class Death:
    """Why a worker ended."""

    cause: str
    """What it is counted under."""
    words: str = ""
    is_out_of_memory: bool = False

    @property
    def reason(self) -> str:
        """The cause, and what else is known."""
        return f"{self.cause} ({self.words})" if self.words else self.cause

    def during(self, step: str) -> "Death":
        """Return the same death, told with what the worker was doing."""
        return replace(self, cause=f"{self.cause} {step}")


@dataclass(frozen=True, slots=True)
class Ended:
    """Keeper to agent, last: the worker of the unit is gone, and this is what its keeper knows."""

    code: int
    """As `subprocess` counts it: minus the number of a signal."""
    oom_kills: int | None
    """How many processes of the unit the kernel has killed meanwhile for want of memory; None if unknown."""
    words: tuple[str, ...] = ()
    """What it wrote to standard error shortly before; the agent decides what of it may be told."""
    kind: Literal["ended"] = "ended"


class LastWords:
    """What a worker wrote to standard error, as much as is worth keeping. Safe to use from every thread."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._lines: deque[tuple[float, str]] = deque()
        self._kept = 0
        self._is_sealed = False

    def hear(self, raw: bytes) -> str:
        """Keep one line, or a piece of a long one; return it as text."""
        line = raw[:LINE_BYTES].decode("utf-8", "replace").strip()
        with self._lock:
            self._lines.append((self._clock_s(), line))
            self._kept += len(line)
            while self._kept > WORDS_BYTES:
                self._kept -= len(self._lines.popleft()[1])
        return line

    def seal(self) -> None:
        """Forget what was said; from now on a line may hold what a requester wrote, and none is told."""
        with self._lock:
            self._is_sealed = True
            self._lines.clear()
            self._kept = 0

    def sign(self) -> tuple[str, str] | None:
        """Return the newest known sign, as the cause it stands for and the part of the line that matched."""
        for line in reversed(self.fresh()):
            for pattern, cause in SIGNS:
                if found := pattern.search(line):
                    return cause, found[0]
        return None

    def told(self) -> str:
        """Return the last line if it may be told."""
        lines = [] if self._is_sealed else [line for line in self.fresh() if line]
        return clipped(lines[-1]) if lines else ""

    def fresh(self) -> tuple[str, ...]:
        """Return the lines of the last seconds."""
        with self._lock:
            return tuple(line for heard_s, line in self._lines if self._clock_s() - heard_s <= FRESH_S)


def clipped(text: str, chars: int = LINE_CHARS) -> str:
    """Return text as one line that is short enough to be published."""
    line = " ".join(text.split())
    return line if len(line) <= chars else line[: chars - 3] + "..."


def classify(code: int, words: LastWords, *, oom_kills: int | None) -> Death:
    """Say why a child ended that nobody here has killed.

    `oom_kills` is how many processes the kernel has killed for want of memory since the child was started, or
    None where it does not tell.
    """
    how = _how(code)
    if code == KILLED and oom_kills != 0:
        return Death(OUT_OF_MEMORY, f"{how}, and the kernel " + _evidence(oom_kills), is_out_of_memory=True)
    if code == KILLED:
        return Death(f"killed by {how} from outside")
    if sign := words.sign():
        cause, match = sign
        return Death(cause, f"{how}, {match}", is_out_of_memory=cause == OUT_OF_MEMORY)
    return Death(how, words.told())


def _evidence(oom_kills: int | None) -> str:
    return "does not tell who sent it" if oom_kills is None else "has killed for want of memory"


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:  # most real-time signals have no name
        return f"signal {-code}"
