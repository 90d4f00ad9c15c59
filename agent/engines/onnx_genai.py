"""ONNX models on CUDA and DirectML through onnxruntime-genai: one Generator a slot.

Also the tokenizer and chat template of every ONNX model. The runtime's telemetry is switched off before its
import (docs/Privacy.md of onnxruntime-genai: only this variable, set early, stops it).
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime_genai as og

from agent.engines.contract import Feed, Logits
from agent.engines.options import EngineFacts, EngineOptions
from agent.wire.errors import EngineError
from agent.wire.prompt import Message

PROVIDERS = {
    "onnx-cuda-int4": "cuda",
    "onnx-cuda-fp16": "cuda",
    "onnx-dml-int4": "dml",
    "onnx-cpu-int4": "cpu",
}


class StreamDetokenizer:
    """The library's own streaming decoder, for one answer."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 -- the library has no types
        self._stream = tokenizer.create_stream()

    def push(self, token: int) -> str:
        """Return the text that this token completes."""
        return str(self._stream.decode(token))

    def rest(self) -> str:
        """Return nothing: the library drops a character that was never completed."""
        return ""


class OnnxText:
    """Tokenizer and chat template of an ONNX model folder; loads no weights."""

    def __init__(self, folder: Path) -> None:
        try:
            self._tokenizer = og.Tokenizer(str(folder))
        except Exception as error:  # border: the library raises RuntimeError for everything
            raise EngineError(f"onnxruntime-genai cannot load the tokenizer in {folder}: {error}") from error
        self.end_tokens = frozenset(int(token) for token in self._tokenizer.eos_token_ids)

    def chat_tokens(self, messages: Sequence[Message]) -> list[int]:
        """Render the model's template and tokenize it."""
        for message in messages:
            _refuse_nul(message.content)
        turns = json.dumps([{"role": message.role, "content": message.content} for message in messages])
        try:
            rendered = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True)
        except Exception as error:  # border: a template from a file may fail in any way
            raise EngineError(f"the model's chat template refuses these messages: {error}") from error
        return self.text_tokens(rendered)

    def text_tokens(self, text: str) -> list[int]:
        """Return the tokens of plain text."""
        _refuse_nul(text)
        return [int(token) for token in self._tokenizer.encode(text)]

    def detokenizer(self) -> StreamDetokenizer:
        """Return a fresh detokenizer."""
        return StreamDetokenizer(self._tokenizer)


def _refuse_nul(text: str) -> None:
    if "\0" in text:  # the library would drop the rest of the prompt without a word
        raise EngineError("this tokenizer cannot read NUL characters; send the prompt without them")


class OnnxGenai:
    """An ONNX model behind onnxruntime-genai; slots take turns inside a step."""

    def __init__(self, options: EngineOptions) -> None:
        folder = Path(options.model or "")
        self._text = OnnxText(folder)
        self._model = _load(folder, options)
        self._context_length = options.context_length
        self._generators: dict[int, Any] = {}
        self.end_tokens = self._text.end_tokens
        self.chat_tokens = self._text.chat_tokens
        self.text_tokens = self._text.text_tokens
        self.detokenizer = self._text.detokenizer
        self.facts = EngineFacts(
            device=_device(str(self._model.device_type)),
            library=f"onnxruntime-genai {og.__version__}",
            slots=options.slots,
            context_length=options.context_length,
            threads=options.threads,
            vocabulary=_vocabulary(folder),
        )

    def forward(self, feeds: Sequence[Feed]) -> list[Logits | None]:
        """Advance each slot's own generator."""
        return [self._one(feed) for feed in feeds]

    def _one(self, feed: Feed) -> Logits | None:
        if self._model is None:
            raise EngineError("the engine is closed")
        generator = self._generators.get(feed.slot) or self._open(feed.slot)
        try:
            generator.append_tokens(np.array(feed.tokens, dtype=np.int32))
            if not feed.wants_logits:
                return None
            logits: Logits = np.asarray(generator.get_logits(), dtype=np.float32).reshape(
                -1, self.facts.vocabulary
            )[-1]
        except Exception as error:  # border: the library raises RuntimeError for everything
            raise EngineError(f"onnxruntime-genai failed: {error}") from error
        return logits

    def _open(self, slot: int) -> Any:  # noqa: ANN401 -- the library has no types
        parameters = og.GeneratorParams(self._model)
        parameters.set_search_options(max_length=self._context_length, batch_size=1)
        self._generators[slot] = og.Generator(self._model, parameters)
        return self._generators[slot]

    def forget(self, slot: int) -> None:
        """Drop the slot's generator and its KV cache."""
        self._generators.pop(slot, None)

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


def open_engine(options: EngineOptions) -> OnnxGenai:
    """Load an ONNX model.

    Raises:
        EngineError: the library refuses the folder or the device.
    """
    return OnnxGenai(options)
