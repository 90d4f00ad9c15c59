"""Why a variant cannot run here at all, whatever memory there is. Pure: only facts and the model decide."""

from agent.engines.table import Row
from agent.hardware.budget import LOWEST_CAPABILITY, gpus_for
from agent.hardware.facts import Facts, Unknown
from agent.models.manifest import Model

DEVICES = {"cuda": "CUDA", "dml": "DirectML", "cpu": "CPU"}
RUNTIMES = {
    "cuda": ("onnxruntime-gpu",),
    "dml": ("onnxruntime-directml",),
    "cpu": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml"),
}
"""Any one of these brings ONNX Runtime itself for a device; the engine table names GenAI on top of it."""


def obstacle(row: Row, facts: Facts, model: Model) -> str:
    """Return the first thing that keeps a variant from running, in words; empty when nothing does.

    The device comes first: nobody should install a package for a GPU that is not there.
    """
    if row.device == "none":
        return ""
    return (
        _no_device(row, facts)
        or _no_weights(row, model)
        or _no_package(row, facts)
        or _no_cuda_build(row, facts)
        or _too_old(row, facts)
    )


def _no_device(row: Row, facts: Facts) -> str:
    if row.device == "cuda" and isinstance(facts.gpus, Unknown):
        return f"no NVIDIA GPU: {facts.gpus.reason}"
    if row.device == "dml" and facts.platform != "win32":
        return "DirectML needs Windows"
    if row.device == "dml" and isinstance(facts.adapters, Unknown):
        return f"no DirectX adapter: {facts.adapters.reason}"
    return ""


def _no_weights(row: Row, model: Model) -> str:
    if model.variant_for(row.name):
        return ""
    if row.library == "llama_cpp":
        return "the model has no GGUF variant"
    precision = row.name.rpartition("-")[2]
    return f"the model has no {precision} {DEVICES[row.device]} variant"


def _no_package(row: Row, facts: Facts) -> str:
    packages, is_onnx = facts.packages, row.library != "llama_cpp"
    if is_onnx and packages.clashes:
        *others, last = packages.clashes[0]
        return f"{', '.join(others)} and {last} are installed over each other: uninstall all but one"
    wanted = (row.distributions, RUNTIMES[row.device]) if is_onnx else (row.distributions,)
    for distributions in wanted:
        if not any(packages.has(name) for name in distributions):
            return f"package {distributions[0]} is not installed"
    modules = (row.library, "onnxruntime") if is_onnx else (row.library,)
    missing = [module for module in modules if module not in packages.importable]
    return f"module {missing[0]} is not there although its package is: reinstall it" if missing else ""


def _no_cuda_build(row: Row, facts: Facts) -> str:
    is_refused = row.name == "gguf-cuda" and facts.packages.has_llama_cuda is False
    return "llama-cpp-python was built without CUDA" if is_refused else ""


def _too_old(row: Row, facts: Facts) -> str:
    if row.device != "cuda" or gpus_for(row, facts):
        return ""
    major, minor = LOWEST_CAPABILITY[facts.platform]
    return f"the GPU is older than compute capability {major}.{minor}, the lowest onnxruntime-gpu supports"
