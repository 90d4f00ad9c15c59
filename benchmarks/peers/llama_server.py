"""llama-server, compiled from the llama.cpp inside llama-cpp-python's source distribution, asked over HTTP.

Its settings: the same threads, slots and context per slot; continuous batching, prompt cache, cache of idle
slots in memory and flash attention as they are by default.
"""

import contextlib
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.mqtt.local import free_port, process
from benchmarks.answer import PeerError
from benchmarks.asking_http import HttpAsker
from benchmarks.peers.listening import wait_until_healthy
from benchmarks.peers.setup import Setup
from benchmarks.pinned import download_pinned

BUILD = Path("build/llama-server")
PROGRAM = BUILD / "bin" / "llama-server"
CMAKE = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DCMAKE_C_FLAGS=-U__AMX_INT8__",
    "-DCMAKE_CXX_FLAGS=-U__AMX_INT8__",
)
"""Without AMX, like the library: see the Makefile."""
UNIFIED = ("--kv-unified",)
"""One buffer for all slots instead of one for each."""


@contextlib.contextmanager
def llama_server(setup: Setup, more: Sequence[str] = ()) -> Iterator[HttpAsker]:
    """Run llama-server as long as the block lasts."""
    port = free_port()
    command = [str(_program()), "--host", "127.0.0.1", "--port", str(port), "--model", str(setup.model)]
    command += ["--threads", str(setup.threads), "--parallel", str(setup.slots), "--offline", "--no-ui"]
    command += ["--ctx-size", str(setup.context_tokens * setup.slots), "--jinja", *more]
    with tempfile.TemporaryDirectory() as folder, process(command, Path(folder) / "log"):
        wait_until_healthy(port, "/health", Path(folder) / "log")
        yield HttpAsker(port)


def llama_server_version() -> str:
    """Return how the program names itself."""
    said = subprocess.run([_program(), "--version"], capture_output=True, text=True, check=True)
    return (said.stdout + said.stderr).splitlines()[0].removeprefix("version: ")


def _program() -> Path:
    """Return the program; compile it first if it is not there yet."""
    if not PROGRAM.exists():
        print("compiling llama-server, once: 6 minutes on 2 cores", flush=True)
        BUILD.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as name:
            _compile(Path(name))
    return PROGRAM.absolute()


def _compile(folder: Path) -> None:
    source = download_pinned("llama-cpp-python", folder)
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    tree = folder / source.name.removesuffix(".tar.gz") / "vendor" / "llama.cpp"
    log = (BUILD / "log").open("w")
    for command in (
        ["cmake", "-G", "Ninja", "-S", str(tree), "-B", str(BUILD), *CMAKE],
        ["cmake", "--build", str(BUILD), "--target", "llama-server"],
    ):
        if subprocess.run(command, stdout=log, stderr=log, check=False).returncode:
            raise PeerError(f"llama-server cannot be compiled; see {log.name}")
