"""Models and a plain box, which most tests of this room start from."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.hardware.facts import Cpu, Facts, Memory, Packages, Unknown
from agent.models.manifest import Model, ModelFile, ModelVariant, Shape

MB, GB = 10**6, 10**9

Tree = Callable[[dict[str, str]], Path]


def _variant(engine: str, size_bytes: int, *more_engines: str) -> ModelVariant:
    kind, _, precision = engine.partition("-")
    file = ModelFile(f"{engine}/weights", size_bytes, "")
    return ModelVariant(
        engine, "gguf" if kind == "gguf" else "onnx", precision, (engine, *more_engines), (file,)
    )


@pytest.fixture
def phi() -> Model:
    """Return a model of the size and shape of Phi-3-mini-4k, in all five forms."""
    variants = (
        _variant("gguf-cpu", 2390 * MB, "gguf-cuda"),
        _variant("onnx-cpu-int4", 2720 * MB),
        _variant("onnx-cuda-int4", 2290 * MB),
        _variant("onnx-cuda-fp16", 7640 * MB),
        _variant("onnx-dml-int4", 2160 * MB),
    )
    return Model("phi-3-mini", Path("/models/phi-3-mini"), "MIT", Shape(32, 32, 96, 4096), variants)


@pytest.fixture
def demo() -> Model:
    """Return a model as small as the embedded one."""
    variants = (_variant("gguf-cpu", 4 * MB, "gguf-cuda"), _variant("onnx-cpu-int4", 3 * MB))
    return Model("demo", Path("/models/demo"), "Apache-2.0", Shape(4, 2, 32, 1024), variants)


@pytest.fixture
def box() -> Facts:
    """Return a small computer with 16 GB, no GPU, and both CPU engines."""
    return Facts(
        platform="linux",
        system="Debian GNU/Linux 12 (bookworm)",
        cpu=Cpu("Intel N100", "x86_64", ("avx", "avx2"), 4, 4, ""),
        memory=Memory(16 * GB, 16 * GB, 14 * GB, "the machine"),
        gpus=Unknown("no NVIDIA driver: libnvidia-ml.so.1 not found"),
        adapters=Unknown("DirectX needs Windows"),
        disk_free_bytes=50 * GB,
        packages=Packages(
            (("llama-cpp-python", "0.3.36"), ("onnxruntime", "1.32.0"), ("onnxruntime-genai", "0.18.0")),
            frozenset({"llama_cpp", "onnxruntime", "onnxruntime_genai"}),
            (),
            has_llama_cuda=False,
        ),
    )


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Return a function that writes files by their path and returns the root of the made-up machine."""

    def write(files: dict[str, str]) -> Path:
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return tmp_path

    return write
