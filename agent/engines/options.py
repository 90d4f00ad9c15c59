"""How an engine is opened and what it says of itself: the part of the contract that the agent shares.

The agent process loads no numerical library, so this file stands apart from `contract.py`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Finish = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine is opened."""

    variant: str
    model: Path | None
    """A GGUF file, or the folder of an ONNX model; None for an engine without a model."""
    threads: int
    slots: int
    """Sequences that are computed side by side."""
    context_length: int
    """Tokens of prompt and answer together, for each slot."""
    gpu_uuid: str = ""
    """The one GPU to use; empty when there is nothing to choose."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine says about itself once it is loaded."""

    device: str
    """Read back from the runtime: `cpu`, `cuda` or `dml`; `none` for an engine without arithmetic."""
    library: str
    """Name and version of the foreign library."""
    slots: int
    context_length: int
    threads: int
    vocabulary: int
