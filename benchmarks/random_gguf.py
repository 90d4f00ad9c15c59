"""A GGUF of a real shape with random q4_0 weights: speed depends on the shape, not on the values."""

from pathlib import Path

import gguf
import numpy as np

from agent.models.store import Store

HIDDEN, FEED_FORWARD, LAYERS, HEADS, KV_HEADS, VOCABULARY = 1024, 2816, 24, 16, 16, 8192
BLOCK, BLOCK_BYTES = 32, 18
SEED = 7


def write_random_gguf(path: Path) -> Path:
    """Write a Phi-3 of about 300 million random weights with the demo model's tokenizer; return its path."""
    demo = gguf.GGUFReader(Store(path.parent).resolve("demo").path_for("gguf-cpu"))
    writer = gguf.GGUFWriter(path, "phi3")
    _copy_tokenizer(demo, writer)
    writer.add_name("random")
    for add, value in (
        (writer.add_context_length, 4096),
        (writer.add_rope_scaling_orig_ctx_len, 4096),
        (writer.add_embedding_length, HIDDEN),
        (writer.add_feed_forward_length, FEED_FORWARD),
        (writer.add_block_count, LAYERS),
        (writer.add_head_count, HEADS),
        (writer.add_head_count_kv, KV_HEADS),
        (writer.add_rope_dimension_count, HIDDEN // HEADS),
        (writer.add_sliding_window, 0),
    ):
        add(value)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    _add_tensors(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _copy_tokenizer(demo: gguf.GGUFReader, writer: gguf.GGUFWriter) -> None:
    """Take over the demo's tokens and fill the vocabulary up with words."""
    fields = {name: field.contents() for name, field in demo.fields.items() if name.startswith("tokenizer.")}
    missing = VOCABULARY - len(fields["tokenizer.ggml.tokens"])
    writer.add_tokenizer_model(fields["tokenizer.ggml.model"])
    writer.add_tokenizer_pre(fields["tokenizer.ggml.pre"])
    writer.add_token_list(fields["tokenizer.ggml.tokens"] + [f"word{n}" for n in range(missing)])
    writer.add_token_types(fields["tokenizer.ggml.token_type"] + [int(gguf.TokenType.NORMAL)] * missing)
    writer.add_token_merges(fields["tokenizer.ggml.merges"])
    writer.add_eos_token_id(fields["tokenizer.ggml.eos_token_id"])
    writer.add_add_bos_token(value=False)
    writer.add_chat_template(fields["tokenizer.chat_template"])


def _add_tensors(writer: gguf.GGUFWriter) -> None:
    random, ones = np.random.default_rng(SEED), np.ones(HIDDEN, dtype=np.float32)
    scale = np.frombuffer(np.float16(0.02 / np.sqrt(HIDDEN / 256) * 0.5).tobytes(), dtype=np.uint8)

    def q4_0(name: str, rows: int, columns: int) -> None:
        blocks = np.empty((rows, columns // BLOCK, BLOCK_BYTES), dtype=np.uint8)
        blocks[:, :, 2:] = random.integers(0, 256, (rows, columns // BLOCK, BLOCK_BYTES - 2), dtype=np.uint8)
        blocks[:, :, :2] = scale
        raw = blocks.reshape(rows, -1)
        writer.add_tensor(name, raw, raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    q4_0("token_embd.weight", VOCABULARY, HIDDEN)
    q4_0("output.weight", VOCABULARY, HIDDEN)
    writer.add_tensor("output_norm.weight", ones)
    for layer in range(LAYERS):
        q4_0(f"blk.{layer}.attn_qkv.weight", (HEADS + 2 * KV_HEADS) * (HIDDEN // HEADS), HIDDEN)
        q4_0(f"blk.{layer}.attn_output.weight", HIDDEN, HIDDEN)
        q4_0(f"blk.{layer}.ffn_up.weight", 2 * FEED_FORWARD, HIDDEN)
        q4_0(f"blk.{layer}.ffn_down.weight", HIDDEN, FEED_FORWARD)
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", ones)
