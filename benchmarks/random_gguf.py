"""A GGUF of a real shape with random q4_0 weights: speed depends on the shape, not on the values."""

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from agent.models.store import Store
from benchmarks.int4 import random_pairs
from benchmarks.shape import ATTENTION_SCALE, EMBEDDING_SCALE, SILENCED, Shape

BLOCK, BLOCK_BYTES = 32, 18
HIGHEST, LOWEST = 0xFF, 0x11
"""Bytes of two weights of 7, and of -7."""
PREFERENCE, LONG_LETTERS = 0.5, 12
SEED = 7

Blocks = NDArray[np.uint8]
"""Of shape (rows, blocks in a row, bytes in a block)."""


def write_random_gguf(path: Path, shape: Shape) -> Path:
    """Write a Phi-3 of this shape with the demo model's tokenizer; return its path."""
    demo = gguf.GGUFReader(Store(path.parent).resolve("demo").path_for("gguf-cpu"))
    unfinished = path.with_suffix(".unfinished")
    writer = gguf.GGUFWriter(unfinished, "phi3")
    tokens = _copy_tokenizer(demo, writer, shape.vocabulary)
    writer.add_name("random")  # llama.cpp looks for more of Phi-3's tokens in a model that is called so
    for add, value in (
        (writer.add_context_length, shape.context_tokens),
        (writer.add_rope_scaling_orig_ctx_len, shape.context_tokens),
        (writer.add_embedding_length, shape.hidden),
        (writer.add_feed_forward_length, shape.feed_forward),
        (writer.add_block_count, shape.layers),
        (writer.add_head_count, shape.heads),
        (writer.add_head_count_kv, shape.kv_heads),
        (writer.add_rope_dimension_count, shape.head_dim),
        (writer.add_sliding_window, 0),
    ):
        add(value)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    _add_tensors(writer, shape, tokens)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return unfinished.rename(path)


def _copy_tokenizer(demo: gguf.GGUFReader, writer: gguf.GGUFWriter, vocabulary: int) -> list[str]:
    """Take over the demo's tokens, fill the vocabulary up with words, and return them all."""
    fields = {name: field.contents() for name, field in demo.fields.items() if name.startswith("tokenizer.")}
    missing = vocabulary - len(fields["tokenizer.ggml.tokens"])
    writer.add_tokenizer_model(fields["tokenizer.ggml.model"])
    writer.add_tokenizer_pre(fields["tokenizer.ggml.pre"])
    tokens = [*fields["tokenizer.ggml.tokens"], *(f"word{n:08}" for n in range(missing))]
    writer.add_token_list(tokens)
    writer.add_token_types(fields["tokenizer.ggml.token_type"] + [int(gguf.TokenType.NORMAL)] * missing)
    writer.add_token_merges(fields["tokenizer.ggml.merges"])
    writer.add_eos_token_id(fields["tokenizer.ggml.eos_token_id"])
    writer.add_add_bos_token(value=False)
    writer.add_chat_template(fields["tokenizer.chat_template"])
    return [str(token) for token in tokens]


def _add_tensors(writer: gguf.GGUFWriter, shape: Shape, tokens: Sequence[str]) -> None:
    random, ones = np.random.default_rng(SEED), np.ones(shape.hidden, dtype=np.float32)

    def blocks(rows: int, columns: int, scale: float) -> Blocks:
        made = np.empty((rows, columns // BLOCK, BLOCK_BYTES), dtype=np.uint8)
        made[:, :, 2:] = random_pairs(random, (rows, columns // BLOCK, BLOCK // 2))
        made[:, :, :2] = _half(scale)
        return made

    def q4_0(name: str, values: Blocks) -> None:
        writer.add_tensor(name, values.reshape(len(values), -1), raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    def layer_q4_0(name: str, rows: int, columns: int, scale: float = shape.weight_scale) -> None:
        q4_0(name, blocks(rows, columns, scale))

    embedding = blocks(shape.vocabulary, shape.hidden, EMBEDDING_SCALE)
    output = blocks(shape.vocabulary, shape.hidden, shape.weight_scale)
    _prefer_long_tokens(embedding, output, tokens)
    output[: len(SILENCED), :, :2] = 0
    q4_0("token_embd.weight", embedding)
    q4_0("output.weight", output)
    writer.add_tensor("output_norm.weight", ones)
    attention_scale = ATTENTION_SCALE * shape.weight_scale
    for layer in range(shape.layers):
        layer_q4_0(f"blk.{layer}.attn_qkv.weight", shape.qkv_rows, shape.hidden, attention_scale)
        layer_q4_0(f"blk.{layer}.attn_output.weight", shape.hidden, shape.hidden)
        layer_q4_0(f"blk.{layer}.ffn_up.weight", 2 * shape.feed_forward, shape.hidden)
        layer_q4_0(f"blk.{layer}.ffn_down.weight", shape.hidden, shape.feed_forward)
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", ones)


def _prefer_long_tokens(embedding: Blocks, output: Blocks, tokens: Sequence[str]) -> None:
    """Make the first block of the stream a constant that the output rows of short tokens count against.

    Under a grammar a trained model takes the longest token that fits; one without this would spell keys in
    single letters, and flatter whoever appends forced text without asking the model.
    """
    embedding[:, 0, 2:] = HIGHEST
    output[:, 0, 2:] = LOWEST
    for row, token in zip(output, tokens, strict=True):
        row[0, :2] = _half(PREFERENCE * max(0.0, 1 - len(token) / LONG_LETTERS))


def _half(value: float) -> Blocks:
    return np.frombuffer(np.float16(value).tobytes(), dtype=np.uint8)
