"""What a model is made of: its variants, their files and the shape that decides how much memory it needs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Format = Literal["gguf", "onnx"]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a variant."""

    path: str
    """Relative to the model's folder, with forward slashes."""
    size_bytes: int
    sha256: str
    """Lower-case hex; empty while nobody has measured it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers that decide the size of the KV cache."""

    layers: int
    kv_heads: int
    head_dim: int
    context_length: int
    """Tokens the model was trained for."""

    def kv_bytes_per_token(self, bytes_per_value: int) -> int:
        """Bytes of keys and values that one token occupies in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * bytes_per_value


@dataclass(frozen=True, slots=True)
class ModelVariant:
    """One way the model's weights are stored, and the engine variants that can run it."""

    id: str
    format: Format
    precision: str
    engines: tuple[str, ...]
    files: tuple[ModelFile, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Model:
    """A model on this box (or in the catalogue, where `folder` does not exist yet)."""

    name: str
    folder: Path
    license: str
    shape: Shape
    variants: tuple[ModelVariant, ...]

    def variant_for(self, engine: str) -> ModelVariant | None:
        """Return the stored variant that an engine variant runs, or None."""
        return next((v for v in self.variants if engine in v.engines), None)

    def path_for(self, engine: str) -> Path:
        """Return what the engine is given: the GGUF file, or the folder with the ONNX graph.

        Raises:
            KeyError: the model has nothing for this engine.
        """
        variant = self.variant_for(engine)
        if variant is None:
            raise KeyError(engine)
        first = self.folder / variant.files[0].path
        return first if variant.format == "gguf" else first.parent
