"""llama.cpp through llama-cpp-python's low-level batch API: one `llama_decode` for all sequences."""

import ctypes
import re
import sys
from collections.abc import Sequence
from typing import Any, Final

import llama_cpp
import numpy as np

from agent.engines.chat_template import ChatTemplate
from agent.engines.contract import Feed, Logits
from agent.engines.options import EngineFacts, EngineOptions
from agent.engines.utf8 import Utf8Detokenizer
from agent.wire.errors import EngineError
from agent.wire.prompt import Message

BATCH_TOKENS = 512
ALL_LAYERS = 999
PIECE_BYTES = 256
LOG_WARN, LOG_ERROR = 3, 4  # enum ggml_log_level in ggml.h
OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")


class _Log:
    """llama.cpp's log: warnings go to stderr, and the number of layers on the GPU is read from it.

    The library offers no call that tells how many layers it really placed on the GPU.
    """

    def __init__(self) -> None:
        self.offloaded: tuple[int, int] = (0, 0)
        self.last_error = ""

    def __call__(self, level: int, text: bytes, _data: object) -> None:
        line = text.decode("utf-8", "replace")
        if found := OFFLOADED.search(line):
            self.offloaded = (int(found[1]), int(found[2]))
        if level in (LOG_WARN, LOG_ERROR):
            sys.stderr.write(line)
        if level == LOG_ERROR:
            self.last_error = line.strip()


LOG: Final = _Log()
LOG_CALLBACK: Final = llama_cpp.llama_log_callback(LOG)


class LlamaCpp:
    """A GGUF model with one KV cache shared by all slots."""

    def __init__(self, options: EngineOptions) -> None:
        llama_cpp.llama_log_set(LOG_CALLBACK, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self._options = options
        self._context: Any = None
        self._batch: Any = None
        self._model = self._load()
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        self._template = self._chat_template()
        self._open_context()
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(self._vocab)
        tokens = range(self._vocabulary)
        self.end_tokens = frozenset(t for t in tokens if llama_cpp.llama_vocab_is_eog(self._vocab, t))
        self.facts = EngineFacts(
            device=self._device(),
            library=f"llama-cpp-python {llama_cpp.__version__}",
            slots=options.slots,
            context_length=options.context_length,
            threads=options.threads,
            vocabulary=self._vocabulary,
        )

    def chat_tokens(self, messages: Sequence[Message]) -> list[int]:
        """Render the model's template; it brings its own beginning-of-text token."""
        return self._tokens(self._template.render(messages), add_special=False, parse_special=True)

    def text_tokens(self, text: str) -> list[int]:
        """Return the tokens of plain text; control tokens inside it stay text."""
        return self._tokens(text, add_special=True, parse_special=False)

    def detokenizer(self) -> Utf8Detokenizer:
        """Return a fresh detokenizer."""
        return Utf8Detokenizer(lambda token: self._piece(token, special=False))

    def forward(self, feeds: Sequence[Feed]) -> list[Logits | None]:
        """Compute all feeds with one `llama_decode`."""
        if self._context is None:
            raise EngineError("the engine is closed")
        rows = self._fill(feeds)
        code = llama_cpp.llama_decode(self._context, self._batch)
        if code != 0:
            raise EngineError(f"llama_decode returned {code}: {LOG.last_error or 'no reason given'}")
        return [None if row is None else self._logits(row) for row in rows]

    def forget(self, slot: int) -> None:
        """Remove the slot's tokens from the KV cache."""
        llama_cpp.llama_memory_seq_rm(llama_cpp.llama_get_memory(self._context), slot, -1, -1)

    def close(self) -> None:
        """Free batch, context and model."""
        if self._batch is not None:
            llama_cpp.llama_batch_free(self._batch)
        if self._context is not None:
            llama_cpp.llama_free(self._context)
        if self._model is not None:
            llama_cpp.llama_model_free(self._model)
        self._batch = self._context = self._model = None

    def _load(self) -> Any:  # noqa: ANN401 -- a C pointer
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = ALL_LAYERS if self._options.variant == "gguf-cuda" else 0
        model = llama_cpp.llama_model_load_from_file(str(self._options.model).encode(), parameters)
        if not model:
            raise EngineError(f"llama.cpp cannot load {self._options.model}: {LOG.last_error}")
        return model

    def _open_context(self) -> None:
        options, parameters = self._options, llama_cpp.llama_context_default_params()
        parameters.n_ctx = options.context_length * options.slots
        parameters.n_batch = parameters.n_ubatch = BATCH_TOKENS
        parameters.n_seq_max = options.slots
        parameters.kv_unified = True
        parameters.n_threads = parameters.n_threads_batch = options.threads
        self._context = llama_cpp.llama_init_from_model(self._model, parameters)
        if not self._context:
            self.close()
            raise EngineError(
                f"llama.cpp cannot open a context of {parameters.n_ctx} tokens: {LOG.last_error}"
            )
        self._batch = llama_cpp.llama_batch_init(BATCH_TOKENS, 0, 1)

    def _fill(self, feeds: Sequence[Feed]) -> list[int | None]:
        """Write the feeds into the batch; return the batch row of each wanted logits."""
        batch, row, rows = self._batch, 0, list[int | None]()
        for feed in feeds:
            for position, token in enumerate(feed.tokens, feed.start):
                batch.token[row], batch.pos[row] = token, position
                batch.n_seq_id[row], batch.seq_id[row][0] = 1, feed.slot
                batch.logits[row] = False
                row += 1
            batch.logits[row - 1] = feed.wants_logits
            rows.append(row - 1 if feed.wants_logits else None)
        batch.n_tokens = row
        return rows

    def _logits(self, row: int) -> Logits:
        pointer = llama_cpp.llama_get_logits_ith(self._context, row)
        return np.ctypeslib.as_array(pointer, shape=(self._vocabulary,))

    def _tokens(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        raw = text.encode()
        room = len(raw) + 2
        buffer = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(self._vocab, raw, len(raw), buffer, room, add_special, parse_special)
        if count < 0:
            raise EngineError(f"llama.cpp cannot tokenize a text of {len(raw)} bytes")
        return list(buffer[:count])

    def _piece(self, token: int, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(PIECE_BYTES)
        length = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, PIECE_BYTES, 0, special)
        return buffer.raw[: max(length, 0)]

    def _chat_template(self) -> ChatTemplate:
        source = llama_cpp.llama_model_chat_template(self._model, None)
        if not source:
            self.close()
            raise EngineError(f"{self._options.model} holds no chat template; use another GGUF of this model")
        bos, eos = llama_cpp.llama_vocab_bos(self._vocab), llama_cpp.llama_vocab_eos(self._vocab)
        text = [
            self._piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""
            for token in (bos, eos)
        ]
        return ChatTemplate(source.decode(), bos=text[0], eos=text[1])

    def _device(self) -> str:
        placed, layers = LOG.offloaded
        return "cuda" if layers and placed == layers else "cpu"


def open_engine(options: EngineOptions) -> LlamaCpp:
    """Load a GGUF model.

    Raises:
        EngineError: llama.cpp refuses the file, or the context does not fit.
    """
    return LlamaCpp(options)
