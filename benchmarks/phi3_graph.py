"""The graph of a Phi-3 with int4 weights, node for node after the one of the embedded demo model."""

from typing import Any

import numpy as np
import onnx
from onnx.helper import make_graph, make_node, make_tensor_value_info

from benchmarks.onnx_weights import BLOCK, DataFile
from benchmarks.shape import ATTENTION_SCALE, EMBEDDING_SCALE, SILENCED, Shape

EPSILON = 1e-5
ROPE_BASE = 10_000.0
MICROSOFT = "com.microsoft"
EMBEDDING_DEVIATION = 4 * EMBEDDING_SCALE
"""Weights from -7 to 7 deviate by about 4 from their mean."""


def graph_of(shape: Shape, pattern: Any, data: DataFile) -> Any:  # noqa: ANN401 -- onnx has no types
    """Return the graph; its weights go into `data`."""
    builder = _Builder(shape, pattern, data)
    data.add_normal("model.embed_tokens.weight", shape.vocabulary, shape.hidden, EMBEDDING_DEVIATION)
    _add_rotations(shape, data)
    builder.nodes.append(make_node("Gather", ["model.embed_tokens.weight", "input_ids"], ["embedded"]))
    stream, addition = "embedded", ""
    for layer in range(shape.layers):
        stream, addition = builder.layer(layer, stream, addition)
    normed, _ = builder.norm(f"layers.{shape.layers}.final_norm", stream, addition)
    scale = shape.weight_scale
    head = data.add_int4("lm_head", shape.vocabulary, shape.hidden, scale, zero_rows=len(SILENCED))
    builder.product(normed, head, shape.vocabulary, shape.hidden, "logits")
    return make_graph(builder.nodes, "main_graph", _inputs(shape), _outputs(shape), data.initializers)


class _Builder:
    """Appends node after node."""

    def __init__(self, shape: Shape, pattern: Any, data: DataFile) -> None:  # noqa: ANN401 -- onnx has no types
        self._shape, self._data = shape, data
        kinds = [node.op_type for node in pattern.node]
        names = [node.name for node in pattern.node]
        # Nodes before the embedding turn the attention mask into lengths, whatever the shape.
        self.nodes: list[Any] = list(pattern.node[: names.index("/model/embed_tokens/Gather")])
        self._lengths = list(pattern.node[kinds.index("GroupQueryAttention")].input[5:7])

    def layer(self, layer: int, stream: str, addition: str) -> tuple[str, str]:
        """Append one layer; return the residual stream and what is still to be added to it."""
        shape, name = self._shape, f"layers.{layer}"
        normed, stream = self.norm(f"{name}.input_layernorm", stream, addition)
        scale = ATTENTION_SCALE * shape.weight_scale
        qkv = self._matmul(f"{name}.qkv_proj", normed, shape.qkv_rows, shape.hidden, scale)
        attended = self._attention(layer, qkv)
        out = self._matmul(f"{name}.o_proj", attended, shape.hidden, shape.hidden)
        normed, stream = self.norm(f"{name}.post_attention_layernorm", stream, out)
        return stream, self._feed_forward(name, normed)

    def norm(self, name: str, stream: str, addition: str) -> tuple[str, str]:
        """Append a norm over stream plus addition; return the normed numbers and the new stream."""
        weight = self._data.add(f"{name}.weight", np.ones(self._shape.hidden, dtype=np.float32))
        normed, total = f"{name}.normed", f"{name}.stream"
        if not addition:
            kind = "SimplifiedLayerNormalization"
            self.nodes.append(make_node(kind, [stream, weight], [normed], epsilon=EPSILON, axis=-1))
            return normed, stream
        inputs, outputs = [stream, addition, weight], [normed, "", "", total]
        kind = "SkipSimplifiedLayerNormalization"
        self.nodes.append(make_node(kind, inputs, outputs, domain=MICROSOFT, epsilon=EPSILON))
        return normed, total

    def product(self, values: str, weights: tuple[str, str], rows: int, columns: int, output: str) -> str:
        """Append a product with int4 weights; return its name."""
        sizes: dict[str, Any] = {"K": columns, "N": rows, "bits": 4, "block_size": BLOCK, "accuracy_level": 4}
        self.nodes.append(make_node("MatMulNBits", [values, *weights], [output], domain=MICROSOFT, **sizes))
        return output

    def _matmul(self, name: str, values: str, rows: int, columns: int, scale: float = 0.0) -> str:
        weights = self._data.add_int4(name, rows, columns, scale or self._shape.weight_scale)
        return self.product(values, weights, rows, columns, f"{name}.product")

    def _attention(self, layer: int, qkv: str) -> str:
        past = [f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"]
        outputs = [f"layers.{layer}.attention", f"present.{layer}.key", f"present.{layer}.value"]
        self.nodes.append(
            make_node(
                "GroupQueryAttention",
                [qkv, "", "", *past, *self._lengths, "cos_cache", "sin_cache"],
                outputs,
                domain=MICROSOFT,
                num_heads=self._shape.heads,
                kv_num_heads=self._shape.kv_heads,
                scale=float(self._shape.head_dim**-0.5),
                local_window_size=-1,
                softcap=0.0,
                do_rotary=1,
                rotary_interleaved=0,
            )
        )
        return outputs[0]

    def _feed_forward(self, name: str, normed: str) -> str:
        wide, narrow = self._shape.feed_forward, self._shape.hidden
        gate = self._matmul(f"{name}.gate_proj", normed, wide, narrow)
        up = self._matmul(f"{name}.up_proj", normed, wide, narrow)
        self.nodes += [
            make_node("Sigmoid", [gate], [f"{name}.sigmoid"]),
            make_node("Mul", [gate, f"{name}.sigmoid"], [f"{name}.activated"]),
            make_node("Mul", [f"{name}.activated", up], [f"{name}.gated"]),
        ]
        return self._matmul(f"{name}.down_proj", f"{name}.gated", narrow, wide)


def _add_rotations(shape: Shape, data: DataFile) -> None:
    steps = np.arange(0, shape.head_dim, 2) / shape.head_dim
    angles = np.outer(np.arange(shape.context_tokens), ROPE_BASE**-steps)
    data.add("cos_cache", np.cos(angles).astype(np.float32))
    data.add("sin_cache", np.sin(angles).astype(np.float32))


def _inputs(shape: Shape) -> list[Any]:
    integer, whole = onnx.TensorProto.INT64, ("batch_size", "total_sequence_length")
    mask = make_tensor_value_info("attention_mask", integer, whole)
    tokens = make_tensor_value_info("input_ids", integer, ("batch_size", "sequence_length"))
    return [tokens, mask, *_caches(shape, "past_key_values", "past_sequence_length")]


def _outputs(shape: Shape) -> list[Any]:
    sizes = ("batch_size", "sequence_length", shape.vocabulary)
    logits = make_tensor_value_info("logits", onnx.TensorProto.FLOAT, sizes)
    return [logits, *_caches(shape, "present", "total_sequence_length")]


def _caches(shape: Shape, name: str, length: str) -> list[Any]:
    sizes = ("batch_size", shape.kv_heads, length, "kv_cache_dim")
    return [
        make_tensor_value_info(f"{name}.{layer}.{kind}", onnx.TensorProto.FLOAT, sizes)
        for kind in ("key", "value")
        for layer in range(shape.layers)
    ]
