from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest

from agent.models.store import Store
from models.hub import Hub, serving
from models.pulling import FOLDER, GGUF, WEIGHTS


@pytest.fixture
def hub() -> Iterator[Hub]:
    files = {
        "README.md": b"hello",
        GGUF: WEIGHTS,
        f"{FOLDER}/model.onnx": b"graph",
        f"{FOLDER}/genai_config.json": b"{}",
        f"{FOLDER}/model.onnx.data": bytes(5000),
        "cuda/cuda-fp16/model.onnx": b"another",
    }
    with serving(files) as hub:
        yield hub
    huggingface_hub.close_session()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models", embedded=tmp_path / "none")
