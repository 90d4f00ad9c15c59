"""An int4 ONNX model of a real shape with random weights, as onnxruntime-genai's builder would write it.

The demo model's graph is the pattern: operators, names and attributes are its own, sizes are the shape's.
Weights go straight into the data file, one after the other, so that memory stays small.
"""

import json
import shutil
from pathlib import Path

import onnx

from agent.models.store import Store
from benchmarks.onnx_weights import DataFile
from benchmarks.phi3_graph import graph_of
from benchmarks.shape import Shape

DATA = "model.onnx.data"


def write_random_onnx(folder: Path, shape: Shape) -> Path:
    """Write a model folder of this shape with the demo model's tokenizer; return its path."""
    demo = Store(folder.parent).resolve("demo").path_for("onnx-cpu-int4")
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    pattern = onnx.load(demo / "model.onnx", load_external_data=False)
    with DataFile(unfinished / DATA) as data:
        graph = graph_of(shape, pattern.graph, data)
    model = onnx.helper.make_model(graph, opset_imports=pattern.opset_import, ir_version=pattern.ir_version)
    onnx.save(model, unfinished / "model.onnx")
    _write_config(demo, unfinished, shape)
    _write_tokenizer(demo, unfinished, shape.vocabulary)
    return unfinished.rename(folder)


def _write_config(demo: Path, folder: Path, shape: Shape) -> None:
    config = json.loads((demo / "genai_config.json").read_text(encoding="utf-8"))
    config["model"] |= {"context_length": shape.context_tokens, "vocab_size": shape.vocabulary}
    config["model"]["decoder"] |= {
        "head_size": shape.head_dim,
        "hidden_size": shape.hidden,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
    }
    config["search"]["max_length"] = shape.context_tokens
    (folder / "genai_config.json").write_text(json.dumps(config, indent=4), encoding="utf-8")


def _write_tokenizer(demo: Path, folder: Path, vocabulary: int) -> None:
    """Take over the demo's tokens and fill the vocabulary up with words."""
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        shutil.copy(demo / name, folder)
    tokenizer = json.loads((demo / "tokenizer.json").read_text(encoding="utf-8"))
    tokens = tokenizer["model"]["vocab"]
    known = len(tokens)
    tokens |= {f"word{n:08}": known + n for n in range(vocabulary - known)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
