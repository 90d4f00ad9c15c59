"""Weights that cannot be loaded are an `EngineError`; a native library must not take the process with it."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.wire.errors import EngineError
from engines.running import Variant, demo, open_variant

LLAMA = Variant("gguf-cpu", "agent.engines.llama_cpp")
OPEN = """
import sys
from pathlib import Path
from agent.engines.llama_cpp import open_engine
from agent.engines.options import EngineOptions
from agent.wire.errors import EngineError
try:
    open_engine(EngineOptions("gguf-cpu", Path(sys.argv[1]), threads=1, slots=1, context_length=64))
except EngineError as error:
    sys.exit(f"EngineError: {error}")
"""

Damage = Callable[[Path], object]


def shortened(name: str) -> Damage:
    def shorten(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return shorten


def without(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def emptied(name: str) -> Damage:
    return lambda folder: (folder / name).write_text("{}", encoding="utf-8")


@pytest.mark.parametrize("kept", [0, 3, 100, 20_000, 2_000_000], ids="{} bytes".format)
def test_a_truncated_gguf_file_is_an_engine_error_and_no_crash(kept: int, tmp_path: Path) -> None:
    damaged = tmp_path / "model.gguf"
    damaged.write_bytes(demo().path_for("gguf-cpu").read_bytes()[:kept])

    ended = subprocess.run([sys.executable, "-c", OPEN, damaged], capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert "EngineError: llama.cpp cannot load" in ended.stderr


def test_a_gguf_file_that_is_missing_is_an_engine_error(tmp_path: Path) -> None:
    missing = tmp_path / "model.gguf"

    with pytest.raises(EngineError, match=r"cannot load .*model\.gguf"):
        open_variant(LLAMA, missing)


@pytest.fixture(params=["agent.engines.onnx_cpu", "agent.engines.onnx_genai"])
def onnx(request: pytest.FixtureRequest) -> Variant:
    return Variant("onnx-cpu-int4", request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the ONNX model that a test may damage."""
    return shutil.copytree(demo().path_for("onnx-cpu-int4"), tmp_path / "model")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(without("model.onnx"), id="no graph"),
        pytest.param(without("model.onnx.data"), id="no weights"),
        pytest.param(without("tokenizer.json"), id="no tokenizer"),
        pytest.param(without("genai_config.json"), id="no configuration"),
        pytest.param(emptied("genai_config.json"), id="empty configuration"),
        pytest.param(shortened("model.onnx"), id="half a graph"),
        pytest.param(shortened("model.onnx.data"), id="half the weights"),
        pytest.param(shortened("genai_config.json"), id="half a configuration"),
        pytest.param(shutil.rmtree, id="no folder"),
    ],
)
def test_a_damaged_onnx_folder_is_an_engine_error(damage: Damage, onnx: Variant, folder: Path) -> None:
    damage(folder)

    with pytest.raises(EngineError, match="cannot load"):
        open_variant(onnx, folder)
