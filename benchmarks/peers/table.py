"""All peers by name."""

import contextlib
from collections.abc import Callable

from benchmarks.answer import Asker
from benchmarks.peers.bridged import bridged
from benchmarks.peers.llama_cpp_python_server import llama_cpp_python_server
from benchmarks.peers.llama_server import UNIFIED, llama_server
from benchmarks.peers.promptd import promptd
from benchmarks.peers.setup import Setup

Start = Callable[[Setup], contextlib.AbstractContextManager[Asker]]

PEERS: dict[str, Start] = {
    "promptd": promptd,
    "llama-server": llama_server,
    "llama-server, unified KV": lambda setup: llama_server(setup, UNIFIED),
    "llama_cpp.server": llama_cpp_python_server,
    "bridge": lambda setup: bridged("bridge", setup),
    "genai Generator": lambda setup: bridged("genai_generator", setup),
    "genai Engine": lambda setup: bridged("genai_engine", setup),
}
