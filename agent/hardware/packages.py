"""Which engine packages this Python has. They are found, never imported: a native library may crash."""

from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from agent.engines.table import TABLE
from agent.hardware.facts import Packages, Unknown

RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml")
GENAIS = ("onnxruntime-genai", "onnxruntime-genai-cuda", "onnxruntime-genai-directml")
FAMILIES = (RUNTIMES, GENAIS)
"""Distributions that install the same module over each other: only one of a family can work."""

DISTRIBUTIONS = ("llama-cpp-python", *RUNTIMES, *GENAIS)
MODULES = frozenset({row.library for row in TABLE if row.library} | {"onnxruntime"})


def version_of(distribution: str) -> str | None:
    """Return the installed version, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def folder_of(module: str) -> Path | None:
    """Return the folder of an importable top-level package without importing it, or None."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def look_at_packages(
    version: Callable[[str], str | None] = version_of, folder: Callable[[str], Path | None] = folder_of
) -> Packages:
    """Return the engine packages that are installed, and which of them are in each other's way."""
    versions = [(name, found) for name in DISTRIBUTIONS if (found := version(name))]
    names = {name for name, _ in versions}
    members = [tuple(name for name in family if name in names) for family in FAMILIES]
    return Packages(
        versions=tuple(versions),
        importable=frozenset(module for module in MODULES if folder(module)),
        clashes=tuple(found for found in members if len(found) > 1),
        has_llama_cuda=_has_llama_cuda(folder("llama_cpp")),
    )


def _has_llama_cuda(package: Path | None) -> bool | Unknown:
    """Tell whether ggml's CUDA backend lies beside llama_cpp: `libggml-cuda.so`, `ggml-cuda.dll`."""
    if package is None:
        return Unknown("llama_cpp is not installed")
    libraries = [file.name for file in (package / "lib").glob("*ggml*")]
    if not libraries:
        return Unknown(f"no llama.cpp library in {package / 'lib'}")
    return any("ggml-cuda" in name for name in libraries)
