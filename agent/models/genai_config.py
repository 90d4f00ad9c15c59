"""Reads genai_config.json, the file that makes a folder an ONNX Runtime GenAI model.

Source of the keys: the configuration reference of ONNX Runtime GenAI.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from agent.models.manifest import Shape
from agent.models.manifest_file import relative_path
from agent.models.regular_file import open_regular
from agent.wire.errors import ModelError

GENAI_CONFIG = "genai_config.json"
MAX_CONFIG_BYTES = 1024 * 1024
GRAPH_KEY, PLAIN_GRAPH = "filename", re.compile(r"[^/]+\.onnx", re.IGNORECASE)
"""Every graph lies in the folder itself, where `onnx_folder.py` looks at all of them."""
_NEEDED = ("tokenizer.json", "tokenizer_config.json")
_CPU = frozenset({"cpu"})


class _SessionOptions(BaseModel):
    provider_options: list[dict[str, Any]] = []


class _Decoder(BaseModel):
    filename: str
    num_hidden_layers: int = Field(ge=1, le=65_536)
    num_key_value_heads: int = Field(ge=1, le=65_536)
    head_size: int = Field(ge=1, le=65_536)
    session_options: _SessionOptions = _SessionOptions()


class _Model(BaseModel):
    type: str = ""
    context_length: int = Field(ge=1, le=1 << 31)
    decoder: _Decoder


class _Config(BaseModel):
    model: _Model


@dataclass(frozen=True, slots=True)
class GenaiConfig:
    """What promptd needs to know of an ONNX folder."""

    family: str
    shape: Shape
    graph: str
    """File name of the ONNX graph."""
    provider: str
    """`cpu`, `cuda`, `dml`, or the name of a provider promptd has no engine for."""
    precision: str
    """`int4` or `fp16`, read from the names; int4 when they do not tell."""

    @property
    def engines(self) -> tuple[str, ...]:
        """The engine variants that may run the folder."""
        if self.provider == "cuda":
            return (f"onnx-cuda-{self.precision}",)
        rows = {("cpu", "int4"): ("onnx-cpu-int4",), ("dml", "int4"): ("onnx-dml-int4",)}
        return rows.get((self.provider, self.precision), ())


def read_genai_config(folder: Path) -> GenaiConfig:
    """Read the configuration of an ONNX folder and check that the files it needs are there.

    Raises:
        ModelError: the configuration is missing, malformed or unfit, or a file is missing.
    """
    path = folder / GENAI_CONFIG
    try:
        with open_regular(path) as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
        if len(raw) > MAX_CONFIG_BYTES:
            raise ModelError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes; it is not a configuration")
        model = _Config.model_validate(json.loads(raw, object_pairs_hook=_own_files)).model
        graph = relative_path(model.decoder.filename)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}; copy the whole folder") from error
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(level) for level in detail["loc"])
        raise ModelError(f"{path}: {where}: {detail['msg']}; get the folder again") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is malformed: {error}; get the folder again") from error
    _refuse_missing(folder, (graph, *_NEEDED))
    return _judged(folder, model, graph)


def _own_files(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build one object of the configuration, if it leads native code to no library and no file elsewhere."""
    if len(content := dict(pairs)) != len(pairs):  # the runtime may believe another of the two
        raise ValueError("an object has a key twice")
    for key, value in pairs:
        if "library" in key:
            raise ValueError(f"{key} would load native code from a file")
        if "profiling" in key or key.startswith("optimized_model"):
            raise ValueError(f"{key} would let the runtime write files")
        if key == GRAPH_KEY and not PLAIN_GRAPH.fullmatch(str(value)):
            raise ValueError(f"{key} must name an .onnx file in the folder, not {str(value)[:80]!r}")
        if key.endswith(("filename", "path")) and isinstance(value, str) and value:
            relative_path(value)
    return content


def _refuse_missing(folder: Path, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder} misses {', '.join(missing)}; copy the whole folder of the model")


def _judged(folder: Path, model: _Model, graph: str) -> GenaiConfig:
    decoder = model.decoder
    names = {name.lower() for option in decoder.session_options.provider_options for name in option} - _CPU
    if len(names) > 1:
        raise ModelError(
            f"{folder / GENAI_CONFIG} names several providers: {', '.join(sorted(names))}; keep one"
        )
    layers, heads = decoder.num_hidden_layers, decoder.num_key_value_heads
    hints = f"{folder.resolve().name} {graph}".lower()
    return GenaiConfig(
        family=model.type,
        shape=Shape(layers, heads, decoder.head_size, model.context_length),
        graph=graph,
        provider=names.pop() if names else "cpu",
        precision="fp16" if "fp16" in hints and "int4" not in hints else "int4",
    )
