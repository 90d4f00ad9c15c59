"""The peers by name, and what is wanted against each."""

from dataclasses import dataclass

PROMPTD = "promptd"
LLAMA_SERVER = "llama-server"
LLAMA_SERVER_UNIFIED = "llama-server, unified KV"
PYTHON_SERVER = "llama_cpp.server"
BRIDGE = "bridge"
GENERATOR = "genai Generator"
ENGINE = "genai Engine"


@dataclass(frozen=True, slots=True)
class Goal:
    """What promptd's figure, divided by the peer's, should be."""

    peer: str
    ratio: float | None = None
    """None: measured for comparison only."""
