"""Exports the trained model to the files the agent ships: `python -m demo_model.export`."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, Phi3Config

from demo_model import answers, chat, gguf_file, score
from demo_model.train import BUILD

TARGET = Path("agent/models/demo")
GGUF_NAME = "promptd-demo.{}.gguf"
GOLDEN_PROMPTS = 60


def build_onnx(hf: Path, target: Path, precision: str) -> None:
    """Run the model builder of onnxruntime-genai for the CPU, without looking anything up online."""
    shutil.rmtree(target, ignore_errors=True)
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-e", "cpu", "-p", precision]
    places = ["-i", str(hf), "-o", str(target), "-c", str(target.parent / "cache")]
    extra = ["--extra_options", "int4_accuracy_level=4"] if precision == "int4" else []
    done = subprocess.run(  # noqa: S603
        [*builder, *places, *extra],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the ONNX model builder failed:\n{done.stderr[-2000:]}")


def build(folder: Path) -> None:
    """Write every variant, the shipped ones and those made only to be measured."""
    for precision in gguf_file.FILE_TYPES:
        gguf_file.write(folder / "hf", folder / "gguf" / GGUF_NAME.format(precision), precision)
    for precision in ("int4", "fp32"):
        build_onnx(folder / "hf", folder / f"onnx-cpu-{precision}", precision)


def golden(hf: Path) -> list[dict[str, Any]]:
    """Return held-out prompts with their token ids and the greedy answer of the float32 model."""
    tokenizer = AutoTokenizer.from_pretrained(hf)
    answer = answers.hugging_face(hf)
    return [
        {
            "task": example.task,
            "prompt": example.prompt,
            "prompt_ids": tokenizer(chat.prompt_text(example.prompt))["input_ids"],
            "answer": answer(example.prompt),
        }
        for example in score.held_out(GOLDEN_PROMPTS)
    ]


def _file(root: Path, path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {
        "path": path.relative_to(root).as_posix(),
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _variant(root: Path, config: Phi3Config, **about: str | list[str]) -> dict[str, Any]:
    shape = {
        "layers": config.num_hidden_layers,
        "hidden": config.hidden_size,
        "kv_heads": config.num_key_value_heads,
        "head_dim": config.hidden_size // config.num_attention_heads,
    }
    files = sorted(path for path in (root / str(about["id"])).iterdir() if path.is_file())
    return {**about, **shape, "files": [_file(root, path) for path in files]}


def manifest(root: Path, folder: Path) -> dict[str, Any]:
    """Describe the shipped files the way the agent's model catalogue reads them."""
    config = Phi3Config.from_pretrained(folder / "hf")
    gguf_engines, onnx_engines = ["gguf-cpu", "gguf-cuda"], ["onnx-cpu-int4"]
    return {
        "name": "demo",
        "version": 1,
        "family": "phi3",
        "parameters": json.loads((folder / "training.json").read_text())["parameters"],
        "license": "Apache-2.0",
        "context_length": config.max_position_embeddings,
        "chat_template": "phi3",
        "made_by": "demo_model/make.sh",
        "variants": [
            _variant(root, config, id="gguf-q8_0", format="gguf", precision="q8_0", engines=gguf_engines),
            _variant(root, config, id="onnx-cpu-int4", format="onnx", precision="int4", engines=onnx_engines),
        ],
    }


def _write_golden(path: Path, entries: list[dict[str, Any]]) -> None:
    """Write one entry a line: short enough to review, and a changed answer is one changed line."""
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    path.write_text(f"[\n{lines}\n]\n")


def ship(folder: Path, target: Path) -> None:
    """Copy the shipped variants to the agent, with the golden answers and the manifest."""
    name = GGUF_NAME.format("q8_0")
    (target / "gguf-q8_0").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / "gguf" / name, target / "gguf-q8_0" / name)
    shutil.rmtree(target / "onnx-cpu-int4", ignore_errors=True)
    shutil.copytree(folder / "onnx-cpu-int4", target / "onnx-cpu-int4")
    _write_golden(target / "golden.json", golden(folder / "hf"))
    described = json.dumps(manifest(target, folder), indent=2)
    (target / "manifest.json").write_text(f"{described}\n")


def main() -> None:
    """Build all variants and ship two of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=BUILD)
    parser.add_argument("--target", type=Path, default=TARGET)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    build(args.folder)
    ship(args.folder, args.target)


if __name__ == "__main__":
    main()
