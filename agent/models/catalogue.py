"""Models that `promptd models pull` knows by name, with what has to be known before anything is fetched.

Sizes are approximate (rounded up from what the repositories list) and serve the fit check only; exact sizes
and digests come from the repository when a model is pulled.
"""

from dataclasses import dataclass
from pathlib import Path

from agent.models.inspect import GGUF_ENGINES
from agent.models.manifest import Format, Model, ModelFile, ModelVariant, Shape

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class CatalogueVariant:
    """One file or folder of a repository on the hub."""

    id: str
    format: Format
    precision: str
    engines: tuple[str, ...]
    repository: str
    path: str
    """The GGUF file, or the folder with genai_config.json, inside the repository."""
    approximate_bytes: int


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One model and the variants of it that exist."""

    name: str
    family: str
    parameters: str
    license: str
    shape: Shape
    hidden: int
    """Width of the residual stream."""
    variants: tuple[CatalogueVariant, ...]

    def variant_for(self, engine: str) -> CatalogueVariant | None:
        """Return what an engine variant would run, or None."""
        return next((variant for variant in self.variants if engine in variant.engines), None)

    def as_model(self) -> Model:
        """Return the model as the hardware's choice judges it: approximate sizes, and no folder yet."""
        return Model(self.name, Path(), self.license, self.shape, tuple(_planned(v) for v in self.variants))


def _planned(variant: CatalogueVariant) -> ModelVariant:
    file = ModelFile(variant.path, variant.approximate_bytes, "")
    return ModelVariant(variant.id, variant.format, variant.precision, variant.engines, (file,))


def _onnx(kind: str, repository: str, path: str, megabytes: int, *also: str) -> CatalogueVariant:
    """Return an ONNX folder for the engine variant `onnx-{kind}` and for `also`."""
    name, precision = f"onnx-{kind}", kind.rpartition("-")[2]
    return CatalogueVariant(name, "onnx", precision, (name, *also), repository, path, megabytes * MB)


_PHI_3 = "microsoft/Phi-3-mini-4k-instruct-onnx"
_PHI_3_5 = "microsoft/Phi-3.5-mini-instruct-onnx"
_PHI_4 = "microsoft/Phi-4-mini-instruct-onnx"

CATALOGUE: tuple[CatalogueEntry, ...] = (
    CatalogueEntry(
        name="phi-3-mini",
        family="phi3",
        parameters="3.8B",
        license="MIT",
        shape=Shape(layers=32, kv_heads=32, head_dim=96, context_length=4096),
        hidden=3072,
        variants=(
            CatalogueVariant(
                id="gguf-q4",
                format="gguf",
                precision="Q4",
                engines=GGUF_ENGINES,
                repository="microsoft/Phi-3-mini-4k-instruct-gguf",
                path="Phi-3-mini-4k-instruct-q4.gguf",
                approximate_bytes=2400 * MB,
            ),
            _onnx("cpu-int4", _PHI_3, "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4", 2730),
            _onnx("cuda-int4", _PHI_3, "cuda/cuda-int4-rtn-block-32", 2300),
            _onnx("cuda-fp16", _PHI_3, "cuda/cuda-fp16", 7650),
            _onnx("dml-int4", _PHI_3, "directml/directml-int4-awq-block-128", 2300),
        ),
    ),
    CatalogueEntry(
        name="phi-3.5-mini",
        family="phi3",
        parameters="3.8B",
        license="MIT",
        shape=Shape(layers=32, kv_heads=32, head_dim=96, context_length=131_072),
        hidden=3072,
        variants=(
            _onnx("cpu-int4", _PHI_3_5, "cpu_and_mobile/cpu-int4-awq-block-128-acc-level-4", 2790),
            _onnx("cuda-int4", _PHI_3_5, "gpu/gpu-int4-awq-block-128", 2320, "onnx-dml-int4"),
        ),
    ),
    CatalogueEntry(
        name="phi-4-mini",
        family="phi3",
        parameters="3.8B",
        license="MIT",
        shape=Shape(layers=32, kv_heads=8, head_dim=128, context_length=131_072),
        hidden=3072,
        variants=(
            _onnx("cpu-int4", _PHI_4, "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4", 4940),
            _onnx("cuda-int4", _PHI_4, "gpu/gpu-int4-rtn-block-32", 3440, "onnx-dml-int4"),
        ),
    ),
)

BY_NAME: dict[str, CatalogueEntry] = {entry.name: entry for entry in CATALOGUE}
