"""The versions of everything that was measured."""

from importlib.metadata import version

from agent import __version__
from benchmarks.peers.llama_server import llama_server_version

PACKAGES = ("llama-cpp-python", "onnxruntime", "onnxruntime-genai", "paho-mqtt")


def versions() -> str:
    """Return them as one line."""
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return f"promptd {__version__}, {packages}, llama-server {llama_server_version()}"
