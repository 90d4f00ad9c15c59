"""llama.cpp through llama-cpp-python's low-level batch API: one `llama_decode` for all sequences."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import llama_cpp

from agent.engines.contract import Feed, Logits
from agent.engines.llama_context import LlamaContext
from agent.engines.llama_log import LOG, listen
from agent.engines.llama_text import LlamaText
from agent.engines.options import EngineFacts, EngineOptions
from agent.wire.errors import EngineError

ALL_LAYERS = 999
SEGMENTS = 96
"""Prompt beginnings that are kept apart from each other; llama.cpp has 256 sequences in all."""


class LlamaShelf:
    """Kept prompt beginnings are sequences of the same context."""

    def __init__(self, context: LlamaContext, tokens: int) -> None:
        self.tokens = tokens
        self.segments = SEGMENTS
        self.keep, self.restore = context.keep, context.restore
        self.split, self.drop = context.split, context.drop


class LlamaCpp:
    """A GGUF model with one KV cache shared by all slots, and a second one for whoever must be alone.

    llama.cpp takes other kernels for other numbers of rows, and its attention adds in the order of the KV
    cells, so the last bits of a sequence depend on its company. Whoever is alone has a context of its own,
    where all cells are its own; it is opened for the first such feed.
    """

    is_one_pass = True

    def __init__(self, options: EngineOptions) -> None:
        listen()
        llama_cpp.llama_backend_init()
        self._options = options
        self._open = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._model = self._load()
            self._text = LlamaText(self._model, str(options.model))
            self._shared = self._context(options.slots, options.cache_tokens)
            undo.pop_all()
        self._own: LlamaContext | None = None
        self._lonely: int | None = None
        self.end_tokens = self._text.end_tokens
        self.chat_tokens = self._text.chat_tokens
        self.text_tokens = self._text.text_tokens
        self.detokenizer = self._text.detokenizer
        self.lexicon = self._text.lexicon
        self.shelf = LlamaShelf(self._shared, options.cache_tokens) if options.cache_tokens else None
        self.facts = EngineFacts(
            device="cuda" if LOG.is_all_on_gpu else "cpu",
            library=f"llama-cpp-python {llama_cpp.__version__}",
            slots=options.slots,
            context_length=options.context_length,
            threads=options.threads,
            vocabulary=self._text.size,
            cache_tokens=options.cache_tokens,
        )

    def forward(self, feeds: Sequence[Feed]) -> list[Logits]:
        """Compute all feeds with one `llama_decode`, and one more for each that is alone."""
        if self._model is None:
            raise EngineError("the engine is closed")
        together = [feed for feed in feeds if not feed.is_alone]
        shared = iter(self._shared.decode(together) if together else ())
        return [self._decode_alone(feed) if feed.is_alone else next(shared) for feed in feeds]

    def truncate(self, slot: int, length: int) -> None:
        """Let the slot's sequence end at `length`."""
        if slot == self._lonely and self._own:
            self._own.truncate(0, length)
            if not length:
                self._lonely = None
        else:
            self._shared.truncate(slot, length)

    def close(self) -> None:
        """Free contexts and model."""
        self._open.close()
        self._model = None

    def _decode_alone(self, feed: Feed) -> Logits:
        if self._own is None:
            self._own = self._context(slots=1, cache_tokens=0)
        if self._lonely not in (None, feed.slot):
            raise EngineError("two sequences cannot be alone at the same time")
        self._lonely = feed.slot
        (logits,) = self._own.decode([replace(feed, slot=0)])
        return logits

    def _load(self) -> Any:  # noqa: ANN401 -- a C pointer
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = ALL_LAYERS if self._options.variant == "gguf-cuda" else 0
        model = llama_cpp.llama_model_load_from_file(str(self._options.model).encode(), parameters)
        if not model:
            raise EngineError(f"llama.cpp cannot load {self._options.model}: {LOG.last_error}")
        self._open.callback(llama_cpp.llama_model_free, model)
        return model

    def _context(self, slots: int, cache_tokens: int) -> LlamaContext:
        context = LlamaContext(
            self._model,
            slots=slots,
            segments=SEGMENTS if cache_tokens else 0,
            tokens=self._options.context_length * slots + cache_tokens,
            threads=self._options.threads,
        )
        self._open.callback(context.close)
        return context


def open_engine(options: EngineOptions) -> LlamaCpp:
    """Load a GGUF model.

    Raises:
        EngineError: llama.cpp refuses the file, or the context does not fit.
    """
    return LlamaCpp(options)
