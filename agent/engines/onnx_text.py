"""Tokenizer and chat template of an ONNX model folder, read by onnxruntime-genai without the weights."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime_genai as og

from agent.engines.contract import Lexicon
from agent.engines.onnx_lexicon import control_tokens, token_bytes
from agent.engines.plain_text import PlainText
from agent.wire.errors import EngineError
from agent.wire.prompt import Message


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
        self._folder = folder
        self.end_tokens = frozenset(int(token) for token in self._tokenizer.eos_token_ids)
        self._plain = PlainText(control_tokens(folder, self.end_tokens), lambda: token_bytes(folder))

    def chat_tokens(self, messages: Sequence[Message]) -> list[int]:
        """Render the model's template and tokenize it; only the template writes control tokens."""
        for message in messages:
            _refuse_nul(message.content)
        return self._plain.chat_tokens(messages, self._rendered, self._encoded)

    def text_tokens(self, text: str) -> list[int]:
        """Return the tokens of plain text; what spells a control token stays text."""
        _refuse_nul(text)
        return self._plain.text_tokens(text, self._encoded)

    def detokenizer(self) -> StreamDetokenizer:
        """Return a fresh detokenizer."""
        return StreamDetokenizer(self._tokenizer)

    def lexicon(self) -> Lexicon:
        """Return the tokens as bytes.

        Raises:
            EngineError: the folder's tokenizer.json does not tell them.
        """
        return Lexicon(token_bytes(self._folder), min(self.end_tokens, default=-1), self.text_tokens)

    def _rendered(self, messages: Sequence[Message]) -> str:
        turns = json.dumps([{"role": message.role, "content": message.content} for message in messages])
        try:
            return str(self._tokenizer.apply_chat_template(turns, add_generation_prompt=True))
        except Exception as error:  # border: a template from a file may fail in any way
            raise EngineError(f"the model's chat template refuses these messages: {error}") from error

    def _encoded(self, text: str, *, is_first: bool) -> list[int]:  # noqa: ARG002 -- it has no other beginnings
        return [int(token) for token in self._tokenizer.encode(text)]


def _refuse_nul(text: str) -> None:
    if "\0" in text:  # the library would drop the rest of the prompt without a word
        raise EngineError("this tokenizer cannot read NUL characters; send the prompt without them")
