"""llama.cpp through llama-cpp-python's low-level batch API: one `llama_decode` for all sequences."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import llama_cpp

from agent.engines.contract import Feed, Logits, Tell
from agent.engines.llama_context import STEP_TOKENS, LlamaContext
from agent.engines.llama_log import LOG, listen
from agent.engines.llama_processor import load_processor_code
from agent.engines.llama_shelf import LlamaShelf
from agent.engines.llama_text import LlamaText
from agent.engines.options import EngineFacts, EngineOptions
from agent.wire.errors import EngineError

ALL_LAYERS = 999
LONG_TOKENS = 24


class LlamaCpp:
    """A GGUF model with a stream of KV cells for every slot.

    llama.cpp takes other kernels for other numbers of rows, so the last bits of a sequence depend on its
    company. A feed that is alone has a call of its own, in which nothing but its own cells takes part.
    """

    is_one_pass = False
    """Sequences with different numbers of tokens are split into passes with equal ones."""

    def __init__(self, options: EngineOptions, tell: Tell | None = None) -> None:
        listen()
        load_processor_code()
        llama_cpp.llama_backend_init()
        self._open = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._model = self._load(options, tell)
            self._text = LlamaText(self._model, str(options.model))
            self._context = self._open_context(options)
            undo.pop_all()
        self.end_tokens = self._text.end_tokens
        self.chat_tokens = self._text.chat_tokens
        self.text_tokens = self._text.text_tokens
        self.detokenizer = self._text.detokenizer
        self.lexicon = self._text.lexicon
        self.can_rewind = not (
            llama_cpp.llama_model_is_recurrent(self._model) or llama_cpp.llama_model_is_hybrid(self._model)
        )
        has_shelf = options.cache_tokens and self.can_rewind
        self.shelf = LlamaShelf(self._context, options.cache_tokens) if has_shelf else None
        self.truncate = self._context.truncate
        self.facts = EngineFacts(
            device="cuda" if LOG.is_all_on_gpu else "cpu",
            library=f"llama-cpp-python {llama_cpp.__version__}",
            slots=options.slots,
            context_length=options.context_length,
            threads=options.threads,
            vocabulary=self._text.size,
            cache_tokens=options.cache_tokens if has_shelf else 0,
        )

    def forward(self, feeds: Sequence[Feed]) -> list[Logits]:
        """Compute answers with one `llama_decode`, prompts with another, who is alone with its own."""
        if self._model is None:
            raise EngineError("the engine is closed")
        logits: dict[int, Logits] = {}
        for group in _calls(feeds):
            rows = self._context.decode(group)
            logits |= {feed.slot: each for feed, each in zip(group, rows, strict=True)}
        return [logits[feed.slot] for feed in feeds]

    def close(self) -> None:
        """Free context and model."""
        self._open.close()
        self._model = None

    def _load(self, options: EngineOptions, tell: Tell | None) -> Any:  # noqa: ANN401 -- a C pointer
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = ALL_LAYERS if options.variant == "gguf-cuda" else 0
        if tell:
            self._hearing = _hearing(tell)
            parameters.progress_callback = self._hearing
        model = llama_cpp.llama_model_load_from_file(str(options.model).encode(), parameters)
        if not model:
            raise EngineError(f"llama.cpp cannot load {options.model}: {LOG.last_error}")
        self._open.callback(llama_cpp.llama_model_free, model)
        return model

    def _open_context(self, options: EngineOptions) -> LlamaContext:
        context = LlamaContext(
            self._model,
            slots=options.slots,
            context_length=options.context_length,
            threads=options.threads,
            is_on_cpu=options.variant != "gguf-cuda",
        )
        self._open.callback(context.close)
        return context


def _hearing(tell: Tell) -> Any:  # noqa: ANN401 -- a C function
    """Return `tell` as the library calls it; a C function lives only as long as somebody holds it."""

    def hear(share: float, _data: object) -> bool:
        tell(share)
        return True  # else the library gives up

    return llama_cpp.llama_progress_callback(hear)


def _calls(feeds: Sequence[Feed]) -> list[list[Feed]]:
    """Keep long prompts apart: the library would split them, and let each first token join the answers."""
    alone = [[feed] for feed in feeds if feed.is_alone]
    short = [feed for feed in feeds if not feed.is_alone and len(feed.tokens) < LONG_TOKENS]
    long = [feed for feed in feeds if not feed.is_alone and len(feed.tokens) >= LONG_TOKENS]
    return [call for group in (*alone, short, long) for call in _filled(group)]


def _filled(feeds: Sequence[Feed]) -> Iterator[list[Feed]]:
    """Cut a group where it outgrows a call."""
    call: list[Feed] = []
    for feed in feeds:
        if sum(len(each.tokens) for each in (*call, feed)) > STEP_TOKENS:
            yield call
            call = []
        call.append(feed)
    if call:
        yield call


def open_engine(options: EngineOptions, tell: Tell | None = None) -> LlamaCpp:
    """Load a GGUF model, and tell how far it is.

    Raises:
        EngineError: llama.cpp refuses the file, or the context does not fit.
    """
    return LlamaCpp(options, tell)
