"""Folders that look like ONNX Runtime GenAI models."""

import json
from pathlib import Path
from typing import Any

from models.onnx_files import SMALLEST


def config(providers: list[dict[str, Any]], filename: str = "model.onnx") -> dict[str, Any]:
    decoder = {
        "session_options": {"log_id": "onnxruntime-genai", "provider_options": providers},
        "filename": filename,
        "head_size": 96,
        "hidden_size": 3072,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
    }
    return {"model": {"type": "phi3", "context_length": 4096, "decoder": decoder}, "search": {}}


def onnx_folder(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "genai_config.json").write_text(json.dumps(content))
    for name in ("model.onnx.data", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes(b"x")
    (folder / "model.onnx").write_bytes(SMALLEST)
    return folder
