"""Writes a Phi-3 Hugging Face folder as one GGUF file for llama.cpp, without changing a single weight."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, LlamaFileType, TokenType
from transformers import AutoTokenizer, Phi3ForCausalLM

from demo_model import chat, grids

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import Phi3Config

FILE_TYPES = {
    "f32": LlamaFileType.ALL_F32,
    "q8_0": LlamaFileType.MOSTLY_Q8_0,
    "q4_0": LlamaFileType.MOSTLY_Q4_0,
}


def _q8_0(name: str, weight: torch.Tensor) -> NDArray[np.uint8]:
    """Lay out q8_0 blocks that carry the grid's own scale; a fresh quantisation would choose another."""
    codes, scale = grids.int8_codes(weight) if grids.is_embedding(name) else grids.int4_codes(weight)
    parts = (scale.numpy().astype(np.float16).view(np.uint8), codes.numpy().astype(np.int8).view(np.uint8))
    return np.concatenate(parts, axis=1).reshape(weight.shape[0], -1)


def _tensor(
    name: str, weight: torch.Tensor, precision: str
) -> tuple[NDArray[np.generic], GGMLQuantizationType | None]:
    """Return the bytes of one tensor and their type; they must read back as the very same numbers."""
    plain = weight.float().numpy()
    if precision == "f32" or weight.ndim == 1:
        return plain, None
    if precision == "q8_0" or grids.is_embedding(name):
        packed, kind = _q8_0(name, weight), GGMLQuantizationType.Q8_0
    else:
        kind = GGMLQuantizationType.Q4_0
        packed = gguf.quants.quantize(plain, kind)
    if not np.array_equal(gguf.quants.dequantize(packed, kind), plain):
        raise ValueError(f"{name} does not lie on the {precision} grid; was the model saved by train.py?")
    return packed, kind


def _add_shape(writer: gguf.GGUFWriter, config: Phi3Config) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_rope_scaling_orig_ctx_len(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(10_000.0)
    writer.add_sliding_window(0)
    writer.add_vocab_size(config.vocab_size)


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    count = len(tokenizer)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokenizer.convert_ids_to_tokens(list(range(count))))
    writer.add_token_types(
        [TokenType.CONTROL if token < len(chat.SPECIAL) else TokenType.NORMAL for token in range(count)]
    )
    merges = json.loads((folder / "tokenizer.json").read_text())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(chat.BOS_ID)
    writer.add_eos_token_id(chat.END_ID)
    writer.add_eot_token_id(chat.END_ID)
    writer.add_pad_token_id(chat.BOS_ID)
    writer.add_add_bos_token(value=False)
    writer.add_chat_template(tokenizer.chat_template)


def write(folder: Path, target: Path, precision: str) -> None:
    """Write the model in `folder` to `target` as `f32`, `q8_0` or `q4_0`."""
    model = Phi3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    target.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(target, "phi3")
    # Not "phi-3": llama.cpp reads that name as an order to swallow the spaces after special tokens.
    writer.add_name("promptd-demo")
    writer.add_license("Apache-2.0")
    writer.add_file_type(FILE_TYPES[precision])
    _add_shape(writer, model.config)
    _add_tokenizer(writer, folder)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.PHI3, model.config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        packed, kind = _tensor(name, weight, precision)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
