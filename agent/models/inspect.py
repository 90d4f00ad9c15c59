"""Turns a GGUF file or an ONNX folder that somebody copied here into a `Model`, without native code."""

import re
from collections import Counter
from pathlib import Path

from agent.models.genai_config import GENAI_CONFIG
from agent.models.gguf_header import GgufHeader, read_gguf_header
from agent.models.gguf_types import FILE_TYPES
from agent.models.manifest import Model, ModelFile, ModelVariant, Shape
from agent.models.onnx_folder import check_onnx_folder
from agent.wire.errors import ModelError

GGUF_ENGINES = ("gguf-cpu", "gguf-cuda")
_LARGEST = 1 << 31


def inspect_path(path: Path) -> Model:
    """Look at a GGUF file or an ONNX folder; sizes are measured, digests are not.

    Raises:
        ModelError: nothing is there, it is neither of the two, or it is malformed.
    """
    if (path / GENAI_CONFIG).is_file():
        return _onnx_model(path)
    if path.is_file():
        return _gguf_model(path)
    if path.is_dir():
        raise ModelError(f"{path} has no {GENAI_CONFIG}; give a GGUF file or an ONNX folder that has one")
    raise ModelError(f"there is no file or folder {path}; check the path")


def _gguf_model(path: Path) -> Model:
    header = read_gguf_header(path)
    file = ModelFile(path.name, path.stat().st_size, "")
    precision = _precision(header)
    variant = ModelVariant(f"gguf-{precision.lower()}", "gguf", precision, GGUF_ENGINES, (file,))
    return Model(
        name=_identifier(path.stem),
        folder=path.parent,
        license=str(header.metadata.get("general.license", "")),
        shape=_shape(path, header),
        variants=(variant,),
    )


def _shape(path: Path, header: GgufHeader) -> Shape:
    family = header.metadata.get("general.architecture")
    if not isinstance(family, str) or not family:
        raise ModelError(f"{path} does not name its architecture; it is no language model for llama.cpp")
    heads = _number(path, header, f"{family}.attention.head_count")
    width = _number(path, header, f"{family}.embedding_length")
    key_length = _number(path, header, f"{family}.attention.key_length", default=max(1, width // heads))
    return Shape(
        layers=_number(path, header, f"{family}.block_count"),
        kv_heads=_number(path, header, f"{family}.attention.head_count_kv", default=heads),
        head_dim=max(
            key_length, _number(path, header, f"{family}.attention.value_length", default=key_length)
        ),
        context_length=_number(path, header, f"{family}.context_length"),
    )


def _number(path: Path, header: GgufHeader, key: str, default: int | None = None) -> int:
    value = header.metadata.get(key, default)
    if value is None:
        raise ModelError(f"{path} has no {key!r}; convert the model again with a newer llama.cpp")
    if type(value) is not int or not 1 <= value <= _LARGEST:
        raise ModelError(
            f"{path} has {key!r} = {str(value)[:80]!r}, which is out of range; get the file again"
        )
    return value


def _precision(header: GgufHeader) -> str:
    kind = header.metadata.get("general.file_type")
    if type(kind) is int and kind in FILE_TYPES:
        return FILE_TYPES[kind]
    weights: Counter[str] = Counter()
    for tensor in header.tensors:
        weights[tensor.type_name] += tensor.size_bytes
    return weights.most_common(1)[0][0] if weights else "unknown"


def _onnx_model(folder: Path) -> Model:
    config = check_onnx_folder(folder)
    if not config.engines:
        kind = f"{config.precision} for {config.provider}"
        raise ModelError(
            f"{folder} is {kind}, which no engine runs; take an int4 folder for cpu, cuda or dml"
        )
    variant = ModelVariant(
        f"onnx-{config.provider}-{config.precision}", "onnx", config.precision, config.engines, _files(folder)
    )
    name = _identifier(folder.resolve().name)
    return Model(name=name, folder=folder, license="", shape=config.shape, variants=(variant,))


def _files(folder: Path) -> tuple[ModelFile, ...]:
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    names.sort(key=lambda name: name != GENAI_CONFIG)  # the first file tells engines which folder to open
    return tuple(ModelFile(name, (folder / name).stat().st_size, "") for name in names)


def _identifier(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:64].strip(".") or "model"
