"""The engine variants promptd knows, as data: nothing heavy is imported until a row is opened."""

from dataclasses import dataclass
from typing import Literal

Device = Literal["cpu", "cuda", "dml", "none"]


@dataclass(frozen=True, slots=True)
class Row:
    """One engine variant."""

    name: str
    title: str
    device: Device
    library: str
    """The module whose import proves that the engine is installed; empty when none is needed."""
    distributions: tuple[str, ...]
    """Any one of these packages provides the library for this device."""
    module: str
    """The module of ours with `open_engine(options, tell)`."""
    kv_bytes_per_value: int
    overhead_bytes: int
    """Memory of the runtime beside weights and KV cache, measured on models of 4 and 360 million weights."""
    scratch_bytes_per_token: int = 0
    """Memory of one pass for each token of a context: scores of attention, with the heads of most models."""
    shares_prefixes: bool = False
    """Whether keys and values of prompt beginnings can be kept for later prompts."""


MIB = 1024 * 1024
SCORE_BYTES = 2 * 4 * 128 * 32
"""Scores before and after softmax, in float32, of 128 tokens in a pass and 32 heads (docs/decisions/0007)."""

TABLE: tuple[Row, ...] = (
    Row(
        name="gguf-cuda",
        title="llama.cpp with all layers on an NVIDIA GPU",
        device="cuda",
        library="llama_cpp",
        distributions=("llama-cpp-python",),
        module="agent.engines.llama_cpp",
        kv_bytes_per_value=2,
        overhead_bytes=600 * MIB,
        shares_prefixes=True,
    ),
    Row(
        name="onnx-cuda-int4",
        title="ONNX Runtime GenAI on an NVIDIA GPU, int4 RTN",
        device="cuda",
        library="onnxruntime_genai",
        distributions=("onnxruntime-genai-cuda",),
        module="agent.engines.onnx_genai",
        kv_bytes_per_value=2,
        overhead_bytes=900 * MIB,
    ),
    Row(
        name="onnx-cuda-fp16",
        title="ONNX Runtime GenAI on an NVIDIA GPU, fp16",
        device="cuda",
        library="onnxruntime_genai",
        distributions=("onnxruntime-genai-cuda",),
        module="agent.engines.onnx_genai",
        kv_bytes_per_value=2,
        overhead_bytes=900 * MIB,
    ),
    Row(
        name="onnx-dml-int4",
        title="ONNX Runtime GenAI on any DirectX 12 GPU, int4 AWQ",
        device="dml",
        library="onnxruntime_genai",
        distributions=("onnxruntime-genai-directml",),
        module="agent.engines.onnx_genai",
        kv_bytes_per_value=2,
        overhead_bytes=700 * MIB,
    ),
    Row(
        name="gguf-cpu",
        title="llama.cpp on the CPU",
        device="cpu",
        library="llama_cpp",
        distributions=("llama-cpp-python",),
        module="agent.engines.llama_cpp",
        kv_bytes_per_value=2,
        overhead_bytes=96 * MIB,
        scratch_bytes_per_token=SCORE_BYTES,
        shares_prefixes=True,
    ),
    Row(
        name="onnx-cpu-int4",
        title="ONNX Runtime on the CPU, int4 RTN",
        device="cpu",
        library="onnxruntime_genai",
        distributions=("onnxruntime-genai", "onnxruntime-genai-cuda", "onnxruntime-genai-directml"),
        module="agent.engines.onnx_cpu",
        kv_bytes_per_value=4,
        overhead_bytes=192 * MIB,
        shares_prefixes=True,
    ),
    Row(
        name="echo",
        title="repeats the prompt; needs no model",
        device="none",
        library="",
        distributions=(),
        module="agent.engines.echo",
        kv_bytes_per_value=0,
        overhead_bytes=48 * MIB,
    ),
)

BY_NAME: dict[str, Row] = {row.name: row for row in TABLE}
