"""What every peer is started with: the same model, threads and room for prompts."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.models import Format


@dataclass(frozen=True, slots=True)
class Setup:
    """One model in one format, served to so many at once."""

    model: Path
    form: Format
    threads: int
    slots: int
    context_tokens: int
    """For each slot."""
