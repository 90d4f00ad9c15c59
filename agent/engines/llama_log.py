"""llama.cpp's log: warnings go to stderr, and the number of layers on the GPU is read from it.

The library offers no call that tells how many layers it really placed on the GPU.
"""

import ctypes
import re
import sys
from typing import Final

import llama_cpp

LOG_WARN, LOG_ERROR = 3, 4  # enum ggml_log_level in ggml.h
OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")


class _Log:
    """What llama.cpp said last."""

    def __init__(self) -> None:
        self.offloaded: tuple[int, int] = (0, 0)
        self.last_error = ""

    def __call__(self, level: int, text: bytes, _data: object) -> None:
        line = text.decode("utf-8", "replace")
        if found := OFFLOADED.search(line):
            self.offloaded = (int(found[1]), int(found[2]))
        if level in (LOG_WARN, LOG_ERROR):
            sys.stderr.write(line)
        if level == LOG_ERROR:
            self.last_error = line.strip()

    @property
    def is_all_on_gpu(self) -> bool:
        """Whether every layer of the last model went to the GPU."""
        placed, layers = self.offloaded
        return bool(layers) and placed == layers


LOG: Final = _Log()
_CALLBACK: Final = llama_cpp.llama_log_callback(LOG)


def listen() -> None:
    """Hear llama.cpp's log from now on."""
    llama_cpp.llama_log_set(_CALLBACK, ctypes.c_void_p(0))
