"""ONNX int4 on the CPU through plain onnxruntime: rows of different length in one decode step.

The graph of onnxruntime-genai's model builder keeps keys and values of a layer in one buffer: it is
past and present at once. Slot `n` is row `n` of these buffers. Answers advance together as one batch of rows;
a prompt enters alone, through a view of its own row. A row that must not advance computes a token at its next
free position, which its next real token overwrites.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from agent.engines.contract import Feed, Logits, Tell
from agent.engines.onnx_genai import OnnxGenai
from agent.engines.onnx_rows import Layer, RowShelf, touched
from agent.engines.onnx_text import OnnxText
from agent.engines.options import EngineFacts, EngineOptions
from agent.wire.errors import EngineError

PROOF_TOLERANCE = 0.05
"""Of the largest logit; kernels for one row and for several round differently, a wrong graph is far off."""
VALUE_TYPES: dict[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class UnknownGraph(EngineError):
    """This graph cannot be computed row by row with shared buffers."""


class OnnxCpu:
    """An ONNX model as a ragged batch on the CPU."""

    can_rewind = True
    is_one_pass = False
    """The attention operator takes several tokens of one row only when no other row is in the pass."""

    def __init__(self, options: EngineOptions) -> None:
        folder = Path(options.model or "")
        self._text = OnnxText(folder)
        self.end_tokens = self._text.end_tokens
        self.chat_tokens = self._text.chat_tokens
        self.text_tokens = self._text.text_tokens
        self.detokenizer = self._text.detokenizer
        self.lexicon = self._text.lexicon
        self._session: ort.InferenceSession | None = _open_session(folder, options.threads)
        self._inputs = {one.name: one for one in self._session.get_inputs()}
        self._layers = self._allocate(options, _head_dim(folder))
        self._bindings: dict[tuple[int, int], ort.IOBinding] = {}
        self._filled = [0] * options.slots
        self.shelf = RowShelf(self._layers, options.cache_tokens) if options.cache_tokens else None
        self.facts = EngineFacts(
            device="cpu" if self._session.get_providers() == ["CPUExecutionProvider"] else "unknown",
            library=f"onnxruntime {ort.__version__}",
            slots=options.slots,
            context_length=options.context_length,
            threads=options.threads,
            vocabulary=int(self._session.get_outputs()[0].shape[-1]),
            cache_tokens=options.cache_tokens,
        )

    def forward(self, feeds: Sequence[Feed]) -> list[Logits]:
        """Run prompts, drafts and whoever is alone one by one, then all single tokens as one batch."""
        together = [feed for feed in feeds if len(feed.tokens) == 1 and feed.start and not feed.is_alone]
        logits = {feed.slot: self._one(feed) for feed in feeds if feed not in together}
        if together:
            logits |= self._decode(together)
        return [logits[feed.slot] for feed in feeds]

    def prove_rows(self) -> None:
        """Compute three tokens as one prompt and one after the other, and compare.

        Raises:
            UnknownGraph: they differ, or the runtime refuses.
        """
        tokens, last = [0, 1, 2], self.facts.slots - 1
        try:
            (whole,) = self.forward([Feed(0, tokens, 0, outputs=1)])
            for start, token in enumerate(tokens):
                (single,) = self.forward([Feed(last, [token], start, outputs=1)])
        except EngineError as error:
            raise UnknownGraph(str(error)) from error
        for slot in (0, last):
            self.truncate(slot, 0)
        if not np.allclose(whole, single, rtol=0, atol=PROOF_TOLERANCE * float(np.abs(whole).max())):
            raise UnknownGraph("its graph gives other numbers token by token than at once")

    def truncate(self, slot: int, length: int) -> None:
        """Take note where the slot ends; what stands behind is overwritten."""
        self._filled[slot] = length

    def close(self) -> None:
        """Release the session and the buffers."""
        self._bindings.clear()
        self._session = None
        self._layers = []

    def _allocate(self, options: EngineOptions, head_dim: int) -> list[Layer]:
        layers = []
        for name, one in self._inputs.items():
            if name.startswith("past_key_values."):
                heads, kind = one.shape[1], VALUE_TYPES[one.type]
                rows = touched((options.slots, heads, options.context_length, head_dim), kind)
                shelf = touched((heads, options.cache_tokens, head_dim), kind)
                layers.append(Layer(name, name.replace("past_key_values", "present"), rows, shelf))
        if not layers or "attention_mask" not in self._inputs:
            raise UnknownGraph("its graph has no past_key_values or attention_mask")
        return layers

    def _one(self, feed: Feed) -> Logits:
        """Compute one feed through a view of its own row."""
        end = feed.start + len(feed.tokens)
        mask = np.ones((1, end), dtype=np.int64)
        tokens = np.array([feed.tokens], dtype=np.int64)
        logits: Logits = self._run(tokens, mask, first_row=feed.slot)[0]
        self._filled[feed.slot] = end
        return logits[len(feed.tokens) - feed.outputs :]

    def _decode(self, feeds: Sequence[Feed]) -> dict[int, Logits]:
        """Compute the lowest to the highest row that decodes; low slots are given first, so few idle."""
        first = min(feed.slot for feed in feeds)
        rows = max(feed.slot for feed in feeds) + 1 - first
        tokens = np.zeros((rows, 1), dtype=np.int64)
        lengths = np.array(self._filled[first : first + rows], dtype=np.int64) + 1
        for feed in feeds:
            tokens[feed.slot - first, 0] = feed.tokens[0]
            lengths[feed.slot - first] = feed.start + 1
        np.minimum(lengths, self.facts.context_length, out=lengths)
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        logits = self._run(tokens, mask, first_row=first)
        for feed in feeds:
            self._filled[feed.slot] = feed.start + 1
        return {feed.slot: logits[feed.slot - first] for feed in feeds}

    def _run(self, tokens: NDArray[np.int64], mask: NDArray[np.int64], *, first_row: int) -> Logits:
        """Return the logits after every token: (rows, tokens of a row, vocabulary)."""
        if self._session is None:
            raise EngineError("the engine is closed")
        binding = self._binding(self._session, first_row, len(tokens))
        binding.bind_cpu_input("input_ids", tokens)
        binding.bind_cpu_input("attention_mask", mask)
        if "position_ids" in self._inputs:
            positions = mask.sum(axis=1, keepdims=True) - tokens.shape[1] + np.arange(tokens.shape[1])
            binding.bind_cpu_input("position_ids", positions.astype(np.int64))
        binding.bind_output("logits", "cpu")
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # border: the library has an exception for each of its codes
            raise EngineError(f"onnxruntime failed: {error}") from error
        logits: Logits = binding.get_outputs()[-1].numpy()
        return logits.astype(np.float32, copy=False)

    def _binding(self, session: ort.InferenceSession, first_row: int, rows: int) -> ort.IOBinding:
        """Return a binding to keys and values of neighbouring rows; the rest is bound anew in every step."""
        key = (first_row, rows)
        if key not in self._bindings:
            binding = self._bindings[key] = session.io_binding()
            for layer in self._layers:
                view = ort.OrtValue.ortvalue_from_numpy(layer.rows[first_row : first_row + rows])
                binding.bind_ortvalue_input(layer.past, view)
                binding.bind_ortvalue_output(layer.present, view)
        return self._bindings[key]


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


def open_engine(options: EngineOptions, _tell: Tell | None = None) -> OnnxCpu | OnnxGenai:
    """Load an ONNX model for the CPU; a graph of another kind goes to onnxruntime-genai, one row at a time.

    Raises:
        EngineError: the runtime refuses the folder.
    """
    try:
        engine = OnnxCpu(options)
        engine.prove_rows()
    except UnknownGraph as error:
        note = f"sequences take turns in onnxruntime-genai's Generator, because {error}"
        return OnnxGenai(replace(options, cache_tokens=0), note)
    return engine
