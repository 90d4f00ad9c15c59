"""ONNX models on CUDA and DirectML through onnxruntime-genai: one Generator a slot."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime_genai as og

from agent.engines.contract import Feed, Logits, Tell
from agent.engines.onnx_text import OnnxText
from agent.engines.options import EngineFacts, EngineOptions
from agent.wire.errors import EngineError

PROVIDERS = {
    "onnx-cuda-int4": "cuda",
    "onnx-cuda-fp16": "cuda",
    "onnx-dml-int4": "dml",
    "onnx-cpu-int4": "cpu",
}


class OnnxGenai:
    """An ONNX model behind onnxruntime-genai; slots take turns inside a step."""

    is_one_pass = False
    can_rewind = True
    shelf = None

    def __init__(self, options: EngineOptions, note: str = "") -> None:
        folder = Path(options.model or "")
        self._text = OnnxText(folder)
        self._model = _load(folder, options)
        self._context_length = options.context_length
        self._generators: dict[int, Any] = {}
        self.end_tokens = self._text.end_tokens
        self.chat_tokens = self._text.chat_tokens
        self.text_tokens = self._text.text_tokens
        self.detokenizer = self._text.detokenizer
        self.lexicon = self._text.lexicon
        self.facts = EngineFacts(
            device=_device(str(self._model.device_type)),
            library=f"onnxruntime-genai {og.__version__}",
            slots=options.slots,
            context_length=options.context_length,
            threads=options.threads,
            vocabulary=_vocabulary(folder),
            note=note,
        )

    def forward(self, feeds: Sequence[Feed]) -> list[Logits]:
        """Advance each slot's own generator."""
        return [self._one(feed) for feed in feeds]

    def _one(self, feed: Feed) -> Logits:
        if self._model is None:
            raise EngineError("the engine is closed")
        generator = self._generators.get(feed.slot) or self._open(feed.slot)
        read = len(feed.tokens) - max(feed.outputs - 1, 0)
        try:
            generator.append_tokens(np.array(feed.tokens[:read], dtype=np.int32))
            rows = [self._last_row(generator)] if feed.outputs else []
            for token in feed.tokens[read:]:  # the library tells the logits of the last token only
                generator.append_tokens(np.array([token], dtype=np.int32))
                rows.append(self._last_row(generator))
        except Exception as error:  # border: the library raises RuntimeError for everything
            raise EngineError(f"onnxruntime-genai failed: {error}") from error
        return np.array(rows, dtype=np.float32).reshape(-1, self.facts.vocabulary)

    def _last_row(self, generator: Any) -> Logits:  # noqa: ANN401 -- the library has no types
        logits: Logits = np.asarray(generator.get_logits(), dtype=np.float32)
        last: Logits = logits.reshape(-1, self.facts.vocabulary)[-1]
        return last

    def _open(self, slot: int) -> Any:  # noqa: ANN401 -- the library has no types
        parameters = og.GeneratorParams(self._model)
        parameters.set_search_options(max_length=self._context_length, batch_size=1)
        self._generators[slot] = og.Generator(self._model, parameters)
        return self._generators[slot]

    def truncate(self, slot: int, length: int) -> None:
        """Take the slot's generator back to `length`, or drop it with its KV cache."""
        if not length:
            self._generators.pop(slot, None)
        elif slot in self._generators:
            self._generators[slot].rewind_to(length)

    def close(self) -> None:
        """Release generators before the model: the other order crashes (onnxruntime-genai issue 101)."""
        self._generators.clear()
        self._model = None


def _load(folder: Path, options: EngineOptions) -> Any:  # noqa: ANN401 -- the library has no types
    provider = PROVIDERS[options.variant]
    session = {"intra_op_num_threads": options.threads}
    try:
        config = og.Config(str(folder))
        config.overlay(json.dumps({"model": {"decoder": {"session_options": session}}}))
        config.clear_providers()
        if provider != "cpu":
            config.append_provider(provider)
        return og.Model(config)
    except Exception as error:  # border: the library raises RuntimeError for everything
        raise EngineError(f"onnxruntime-genai cannot load {folder} on {provider}: {error}") from error


def _device(reported: str) -> str:
    name = reported.lower()
    return {"directml": "dml"}.get(name, name)


def _vocabulary(folder: Path) -> int:
    config = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
    return int(config["model"]["vocab_size"])


def open_engine(options: EngineOptions, _tell: Tell | None = None) -> OnnxGenai:
    """Load an ONNX model; the library does not say how far it is.

    Raises:
        EngineError: the library refuses the folder or the device.
    """
    return OnnxGenai(options)
