"""The code of llama.cpp for this box's processor, where one build serves many of them.

Such a build (GGML_BACKEND_DL) has a library for each generation of processors, which the package installs and
does not load. A build for one processor has its code in the main library, and needs nothing of this.
"""

from pathlib import Path

import llama_cpp
from llama_cpp.llama_cpp import _lib as library

PLACE = Path(llama_cpp.__file__).parents[1] / "bin"
"""Where llama-cpp-python's wheel puts what llama.cpp takes for programs."""


def load_processor_code() -> None:
    """Let llama.cpp choose the best library that this processor can run; again is fine."""
    is_loaded = bool(library.ggml_backend_dev_count())
    if not is_loaded and any(PLACE.glob("libggml-cpu-*")):
        library.ggml_backend_load_all_from_path(str(PLACE).encode())
