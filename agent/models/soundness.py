"""The last look at a model's files before native code sees them: malformed ones never reach an engine.

It reads headers and graphs and never weights, so it costs milliseconds. Whether every byte is the one that
its publisher meant is asked by the guard of a start (`guard.py`), which reads all of them.
"""

from pathlib import Path, PurePosixPath

from agent.models.gguf_header import read_gguf_header
from agent.models.manifest import Model, ModelVariant
from agent.models.onnx_folder import check_onnx_folder
from agent.models.onnx_graph import check_onnx_graph
from agent.wire.errors import ModelError


def fault_of_variant(model: Model, variant: ModelVariant) -> str:
    """Return why what an engine would be given must not be loaded; empty when it may."""
    first = model.folder / PurePosixPath(variant.files[0].path)
    try:
        if variant.format == "gguf":
            read_gguf_header(first)
        else:
            check_onnx_folder(first.parent)
    except ModelError as error:
        return str(error)
    return ""


def fault_of_file(path: Path) -> str:
    """Return what is wrong with one file, as far as its kind can be read; empty when nothing is."""
    try:
        match path.suffix.lower():
            case ".gguf":
                read_gguf_header(path)
            case ".onnx":
                check_onnx_graph(path)
    except ModelError as error:
        return str(error)
    return ""
