"""Where the measured models lie: the embedded demo, and random ones that are written once and kept."""

from pathlib import Path
from typing import Literal

from agent.models.store import Store
from benchmarks.random_gguf import write_random_gguf
from benchmarks.random_onnx import write_random_onnx
from benchmarks.shape import PHI3_MINI, SMALL, Shape

ModelName = Literal["demo", "360m", "phi3-mini"]
Format = Literal["gguf", "onnx"]

FOLDER = Path("build/benchmarks/models")
SHAPES: dict[ModelName, Shape] = {"360m": SMALL, "phi3-mini": PHI3_MINI}
VARIANTS: dict[Format, str] = {"gguf": "gguf-cpu", "onnx": "onnx-cpu-int4"}


def model_path(name: ModelName, form: Format) -> Path:
    """Return the GGUF file or ONNX folder of a model, and write it first if it is missing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if name == "demo":
        return Store(FOLDER).resolve("demo").path_for(VARIANTS[form])
    shape = SHAPES[name]
    path = (FOLDER / (f"{shape.name}.q4_0.gguf" if form == "gguf" else f"{shape.name}-int4")).absolute()
    if not path.exists():
        print(f"writing {path.name}", flush=True)
        (write_random_gguf if form == "gguf" else write_random_onnx)(path, shape)
    return path
