"""ONNX int4 on the CPU through plain onnxruntime: rows of different length in one decode step.

The graph of onnxruntime-genai's model builder keeps keys and values of a layer in one buffer: it is
past and present at once. Slot `n` is row `n` of these buffers. Answers advance together as one batch of rows;
a prompt enters alone, through a view of its own row. A row that must not advance computes a token at its next
free position, which its next real token overwrites.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from agent.engines.contract import Feed, Logits
from agent.engines.onnx_genai import OnnxText
from agent.engines.options import EngineFacts, EngineOptions
from agent.wire.errors import EngineError

VALUE_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True, slots=True)
class Cache:
    """Keys or values of one layer, all slots: (slots, kv_heads, context_length, head_dim)."""

    past: str
    present: str
    values: NDArray[np.generic]


class OnnxCpu:
    """An ONNX model as a ragged batch on the CPU."""

    def __init__(self, options: EngineOptions) -> None:
        folder = Path(options.model or "")
        self._text = OnnxText(folder)
        self.end_tokens = self._text.end_tokens
        self.chat_tokens = self._text.chat_tokens
        self.text_tokens = self._text.text_tokens
        self.detokenizer = self._text.detokenizer
        self._session: ort.InferenceSession | None = _open_session(folder, options.threads)
        self._inputs = {one.name: one for one in self._session.get_inputs()}
        self._caches = self._allocate(options, _head_dim(folder))
        self._filled = [0] * options.slots
        self.facts = EngineFacts(
            device="cpu" if self._session.get_providers() == ["CPUExecutionProvider"] else "unknown",
            library=f"onnxruntime {ort.__version__}",
            slots=options.slots,
            context_length=options.context_length,
            threads=options.threads,
            vocabulary=int(self._session.get_outputs()[0].shape[-1]),
        )

    def forward(self, feeds: Sequence[Feed]) -> list[Logits | None]:
        """Run each prompt chunk alone, then all single tokens as one batch."""
        logits: dict[int, Logits] = {}
        decoding = [feed for feed in feeds if feed.start and len(feed.tokens) == 1]
        for feed in feeds:
            if feed not in decoding:
                logits[feed.slot] = self._prefill(feed)
        if decoding:
            logits |= self._decode(decoding)
        return [logits[feed.slot] if feed.wants_logits else None for feed in feeds]

    def forget(self, slot: int) -> None:
        """Mark the slot's row as empty."""
        self._filled[slot] = 0

    def close(self) -> None:
        """Release the session and the buffers."""
        self._session = None
        self._caches = []

    def _allocate(self, options: EngineOptions, head_dim: int) -> list[Cache]:
        caches = []
        for name, one in self._inputs.items():
            if name.startswith("past_key_values."):
                shape = (options.slots, one.shape[1], options.context_length, head_dim)
                present = name.replace("past_key_values", "present")
                caches.append(Cache(name, present, np.zeros(shape, dtype=VALUE_TYPES[one.type])))
        if not caches or "attention_mask" not in self._inputs:
            raise EngineError(
                "this ONNX graph has no past_key_values or attention_mask; use a model of the genai builder"
            )
        return caches

    def _prefill(self, feed: Feed) -> Logits:
        end = feed.start + len(feed.tokens)
        tokens = np.array([feed.tokens], dtype=np.int64)
        mask = np.ones((1, end), dtype=np.int64)
        self._filled[feed.slot] = end
        logits: Logits = self._run(tokens, mask, first_row=feed.slot, rows=1)[0]
        return logits

    def _decode(self, feeds: Sequence[Feed]) -> dict[int, Logits]:
        """Compute rows 0 to the highest that decodes; the batch gives low slots first, so few rows idle."""
        rows = max(feed.slot for feed in feeds) + 1
        tokens = np.zeros((rows, 1), dtype=np.int64)
        for feed in feeds:
            tokens[feed.slot, 0] = feed.tokens[0]
            self._filled[feed.slot] = feed.start
        lengths = np.array(self._filled[:rows], dtype=np.int64) + 1
        np.minimum(lengths, self.facts.context_length, out=lengths)
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        logits = self._run(tokens, mask, first_row=0, rows=rows)
        for feed in feeds:
            self._filled[feed.slot] = feed.start + 1
        return {feed.slot: logits[feed.slot] for feed in feeds}

    def _run(
        self, tokens: NDArray[np.int64], mask: NDArray[np.int64], *, first_row: int, rows: int
    ) -> Logits:
        """Return the logits after the last token of each row: (rows, vocabulary)."""
        if self._session is None:
            raise EngineError("the engine is closed")
        binding = self._session.io_binding()
        binding.bind_cpu_input("input_ids", tokens)
        binding.bind_cpu_input("attention_mask", mask)
        if "position_ids" in self._inputs:
            positions = mask.sum(axis=1, keepdims=True) - tokens.shape[1] + np.arange(tokens.shape[1])
            binding.bind_cpu_input("position_ids", positions.astype(np.int64))
        for cache in self._caches:
            view = ort.OrtValue.ortvalue_from_numpy(cache.values[first_row : first_row + rows])
            binding.bind_ortvalue_input(cache.past, view)
            binding.bind_ortvalue_output(cache.present, view)
        binding.bind_output("logits", "cpu")
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # border: the library has an exception for each of its codes
            raise EngineError(f"onnxruntime failed: {error}") from error
        logits: Logits = binding.get_outputs()[-1].numpy()[:, -1]
        return logits.astype(np.float32, copy=False)


def _open_session(folder: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        return ort.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    except Exception as error:  # border: the library has an exception for each of its codes
        raise EngineError(f"onnxruntime cannot load {folder}: {error}") from error


def _head_dim(folder: Path) -> int:
    """Read the size of one head, which the graph leaves open."""
    config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
    return int(config["model"]["decoder"]["head_size"])


def open_engine(options: EngineOptions) -> OnnxCpu:
    """Load an ONNX model for the CPU.

    Raises:
        EngineError: the runtime refuses the folder, or the graph is of another kind.
    """
    return OnnxCpu(options)
