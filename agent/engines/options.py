"""How an engine is opened and what it says of itself: the part of the contract that the agent shares.

The agent process loads no numerical library, so this file stands apart from `contract.py`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Finish = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Speeds:
    """What `promptd calibrate` measured of one variant with one model on this box."""

    prefill_tokens_per_s: float
    step_ms: tuple[tuple[int, float], ...]
    """Milliseconds of one decode step, by the number of sequences that take part in it; ascending."""

    def step_ms_with(self, sequences: int) -> float:
        """Return what a decode step of so many sequences takes, or of the next larger number."""
        return next((ms for measured, ms in self.step_ms if measured >= sequences), self.step_ms[-1][1])

    def decode_tokens_per_s(self, sequences: int) -> float:
        """Return the tokens of so many sequences together, at most as many as were measured."""
        most = min(sequences, self.step_ms[-1][0])
        return most * 1000 / self.step_ms_with(most)


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
    cache_tokens: int = 0
    """Tokens whose keys and values are kept for prompts with the same beginning."""
    speculation: bool = True
    """Whether next tokens may be guessed from the text before, where that pays."""
    speeds: Speeds | None = None
    """None until somebody has measured."""


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
    cache_tokens: int = 0
    """0 when this engine cannot share prompt beginnings."""
    note: str = ""
    """What the operator should know of how it runs; empty when all is as it should be."""
