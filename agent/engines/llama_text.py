"""Tokenizer, pieces and chat template of a GGUF model."""

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp

from agent.engines.chat_template import ChatTemplate
from agent.engines.contract import CONTROL, Lexicon
from agent.engines.plain_text import PIPED, PlainText
from agent.engines.utf8 import Utf8Detokenizer
from agent.wire.errors import EngineError
from agent.wire.prompt import Message

PIECE_BYTES = 256
PARSED = (
    llama_cpp.LLAMA_TOKEN_ATTR_CONTROL
    | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
    | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
)
"""Kinds of tokens that are looked for in a text before everything else."""


class LlamaText:
    """The words of a loaded model."""

    def __init__(self, model: Any, path: str) -> None:  # noqa: ANN401 -- a C pointer
        self._vocab = llama_cpp.llama_model_get_vocab(model)
        self.size = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self.end_tokens = frozenset(
            token for token in range(self.size) if llama_cpp.llama_vocab_is_eog(self._vocab, token)
        )
        self._template = self._chat_template(model, path)
        self._plain = PlainText(self._controls(), lambda: self.lexicon().tokens)

    def chat_tokens(self, messages: Sequence[Message]) -> list[int]:
        """Render the model's template, which alone writes control tokens, also the one that begins a text."""
        return self._plain.chat_tokens(messages, self._template.render, self._rendered_tokens)

    def text_tokens(self, text: str) -> list[int]:
        """Return the tokens of plain text; what spells a control token stays text."""
        return self._plain.text_tokens(text, self._written_tokens)

    def detokenizer(self) -> Utf8Detokenizer:
        """Return a fresh detokenizer."""
        return Utf8Detokenizer(lambda token: self._piece(token, special=False))

    def lexicon(self) -> Lexicon:
        """Return the tokens as bytes; what looks like a control token is one, whatever the file says."""
        tokens = tuple(self._bytes(token) for token in range(self.size))
        eos = llama_cpp.llama_vocab_eos(self._vocab)
        end = eos if eos in self.end_tokens else min(self.end_tokens, default=-1)
        return Lexicon(tokens, end, lambda text: self._tokens(text, add_special=False, parse_special=False))

    def _bytes(self, token: int) -> bytes:
        piece, kind = self._piece(token, special=True), llama_cpp.llama_vocab_get_attr(self._vocab, token)
        is_named = piece.startswith(b"<") and piece.endswith(b">")
        is_control = kind & llama_cpp.LLAMA_TOKEN_ATTR_CONTROL
        return (
            CONTROL + piece
            if is_control or (is_named and kind & llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED)
            else piece
        )

    def _controls(self) -> dict[int, str]:
        """Return the texts that llama.cpp takes for control tokens, by their numbers."""
        found: dict[int, str] = {}
        for token in range(self.size):
            kind = llama_cpp.llama_vocab_get_attr(self._vocab, token)
            if kind & PARSED:
                text = llama_cpp.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace")
                if not kind & llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED or PIPED.fullmatch(text):
                    found[token] = text
        return found

    def _rendered_tokens(self, text: str, *, is_first: bool) -> list[int]:  # noqa: ARG002 -- the template begins
        return self._tokens(text, add_special=False, parse_special=True)

    def _written_tokens(self, text: str, *, is_first: bool) -> list[int]:
        return self._tokens(text, add_special=is_first, parse_special=False)

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

    def _chat_template(self, model: Any, path: str) -> ChatTemplate:  # noqa: ANN401 -- a C pointer
        source = llama_cpp.llama_model_chat_template(model, None)
        if not source:
            raise EngineError(f"{path} holds no chat template; use another GGUF of this model")
        bos, eos = llama_cpp.llama_vocab_bos(self._vocab), llama_cpp.llama_vocab_eos(self._vocab)
        text = [
            self._piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""
            for token in (bos, eos)
        ]
        return ChatTemplate(source.decode(), bos=text[0], eos=text[1])
