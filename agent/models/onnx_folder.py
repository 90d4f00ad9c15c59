"""Checks a folder of ONNX Runtime GenAI before native code opens it: configuration, graphs, other files."""

from pathlib import Path

from agent.models.genai_config import GenaiConfig, read_genai_config
from agent.models.onnx_graph import check_onnx_graph
from agent.models.regular_file import refuse_stranger
from agent.wire.errors import ModelError


def check_onnx_folder(folder: Path) -> GenaiConfig:
    """Return the configuration of a folder in which every file may be opened by native code.

    Raises:
        ModelError: a file is missing or malformed, no regular file, or a link that leaves the folder.
    """
    try:
        files = [path for path in sorted(folder.iterdir()) if path.is_symlink() or not path.is_dir()]
        for path in files:
            refuse_stranger(path, folder)
    except OSError as error:
        place = error.filename or folder
        raise ModelError(f"cannot read {place}: {error.strerror or error}; copy the whole folder") from error
    config = read_genai_config(folder)
    for path in files:
        if path.suffix.lower() == ".onnx":
            check_onnx_graph(path)
    return config
