"""llama-cpp-python's own server, asked over HTTP; the packages it needs more stay out of the project's."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from agent.mqtt.local import free_port, process
from benchmarks.answer import PeerError
from benchmarks.asking_http import HttpAsker
from benchmarks.peers.listening import wait_until_healthy
from benchmarks.peers.setup import Setup

PACKAGES_FOLDER = Path("build/llama-cpp-python-server")
PACKAGES = ("fastapi==0.165.0", "uvicorn==0.54.0", "sse-starlette==3.7.0", "starlette-context==0.3.6")


@contextlib.contextmanager
def llama_cpp_python_server(setup: Setup) -> Iterator[HttpAsker]:
    """Run `python -m llama_cpp.server` as long as the block lasts; it answers one at a time."""
    port = free_port()
    command = [sys.executable, "-m", "llama_cpp.server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--model", str(setup.model), "--n_ctx", str(setup.context_tokens), "--verbose", "false"]
    command += ["--n_threads", str(setup.threads), "--n_threads_batch", str(setup.threads)]
    # By default a new question cuts off the answer that is being streamed: eight at once would all fail.
    command += ["--interrupt_requests", "false"]
    env = os.environ | {"PYTHONPATH": str(_packages())}
    with tempfile.TemporaryDirectory() as folder, process(command, Path(folder) / "log", env):
        wait_until_healthy(port, "/v1/models", Path(folder) / "log")
        yield HttpAsker(port)


def _packages() -> Path:
    if not PACKAGES_FOLDER.exists():
        command = [sys.executable, "-m", "pip", "install", "-qq", "--target", str(PACKAGES_FOLDER), *PACKAGES]
        if subprocess.run(command, check=False).returncode:
            raise PeerError("the packages of llama_cpp.server cannot be installed; see above")
    return PACKAGES_FOLDER.absolute()
