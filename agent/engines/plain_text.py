"""Keeps what a requester writes plain text, also where it spells a control token such as `<|end|>`.

A tokenizer takes such a text for its control token wherever it stands; only the chat template may write one.
So before a template is rendered, it is replaced by a number that nobody can guess. The rendered text is cut
there, the pieces between are tokenized as ever, and what was taken out is spelled with ordinary tokens. A
prompt that spells no control token is tokenized whole.
"""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import Protocol

from agent.engines.contract import CONTROL
from agent.wire.errors import EngineError
from agent.wire.prompt import Message

Span = tuple[int, int]
Find = Callable[[str], Sequence[Span]]
Render = Callable[[Sequence[Message]], str]

PIPED = re.compile(r"<\|.*\|>", re.DOTALL)
"""What looks like this is a control token, also where a converter has filed it under words."""
SECRET_DIGITS = 40


class Tokenize(Protocol):
    """Turns text into tokens; what begins a prompt may get a beginning-of-text token."""

    def __call__(self, text: str, *, is_first: bool) -> list[int]:
        """Return the tokens of a text."""
        ...


class PlainText:
    """The control tokens of one model, and how to write their names without meaning them."""

    def __init__(self, controls: Mapping[int, str], vocabulary: Callable[[], Sequence[bytes]]) -> None:
        """Take the names of the control tokens, and how to get the bytes of all tokens if they are needed."""
        self._numbers = controls.keys()
        self._names = frozenset(controls.values()) - {""}
        self._lengths = sorted({len(name) for name in self._names}, reverse=True)
        beginnings = "|".join(sorted({re.escape(name[:2]) for name in self._names}))
        self._beginning = re.compile(f"(?={beginnings})" if beginnings else "(?!)")
        self._vocabulary = vocabulary

    def chat_tokens(self, messages: Sequence[Message], render: Render, tokenize: Tokenize) -> list[int]:
        """Return the tokens of a chat, in which only the template writes control tokens.

        Raises:
            EngineError: the template refuses these messages, or the model cannot spell a control token.
        """
        covers = _Covers()
        text = render(_covered(messages, covers, self._spelled_controls))
        if any(self._edges(message.content) for message in messages):
            careful = render(_covered(messages, covers, self._risks))
            if len(self._spelled_controls(careful)) != len(self._spelled_controls(text)):
                text = careful  # the template would have joined two halves of a control token
        return self._tokens(covers.uncovered(text), tokenize)

    def text_tokens(self, text: str, tokenize: Tokenize) -> list[int]:
        """Return the tokens of a text without any control token of its own.

        Raises:
            EngineError: the model cannot spell a control token.
        """
        return self._tokens(_cut(text, self._spelled_controls(text)), tokenize)

    def _spelled_controls(self, text: str) -> list[Span]:
        """Return where control tokens are spelled, from left to right, the longest at each place."""
        spans, end = list[Span](), 0
        for found in self._beginning.finditer(text):
            start = found.start()
            sizes = (size for size in self._lengths if text[start : start + size] in self._names)
            if start >= end and (size := next(sizes, 0)):
                end = start + size
                spans.append((start, end))
        return spans

    def _risks(self, text: str) -> list[Span]:
        """Return where control tokens are spelled, and where what stands beside could complete one."""
        spans = self._spelled_controls(text)
        for start, end in self._edges(text):
            if all(end <= first or start >= last for first, last in spans):
                spans.append((start, end))
        return sorted(spans)

    def _edges(self, text: str) -> list[Span]:
        """Return the beginning that ends a control token, and the end that begins one."""
        longest = min(len(text), max(self._lengths, default=1) - 1)
        head = max((n for n in range(1, longest + 1) if text[:n] in self._endings), default=0)
        tail = max((n for n in range(1, longest + 1) if text[-n:] in self._beginnings), default=0)
        return [span for span in ((0, head), (len(text) - tail, len(text))) if span[0] < span[1]]

    @cached_property
    def _beginnings(self) -> frozenset[str]:
        return frozenset(name[:n] for name in self._names for n in range(1, len(name)))

    @cached_property
    def _endings(self) -> frozenset[str]:
        return frozenset(name[n:] for name in self._names for n in range(1, len(name)))

    def _tokens(self, parts: Sequence[str], tokenize: Tokenize) -> list[int]:
        """Return the tokens of parts that are tokenized and parts that are spelled, in turns."""
        tokens = tokenize(parts[0], is_first=True)
        for word, piece in zip(parts[1::2], parts[2::2], strict=True):
            tokens += self._spell(word.encode())
            tokens += self._go_on(piece, tokenize) if piece else []
        return tokens

    def _go_on(self, piece: str, tokenize: Tokenize) -> list[int]:
        """Return the tokens of a piece behind another, without the blank that some tokenizers put first."""
        tokens = tokenize(piece, is_first=False)
        begins = b"".join(self._bytes[token].removeprefix(CONTROL) for token in tokens)
        if _blanks(begins) == _blanks(piece.encode()) + 1:
            return self._spell(self._bytes[tokens[0]][1:]) + tokens[1:]
        return tokens

    def _spell(self, word: bytes) -> list[int]:
        """Return ordinary tokens that are these bytes, the longest at each place."""
        tokens, at = list[int](), 0
        while at < len(word):
            ends = (end for end in range(len(word), at, -1) if word[at:end] in self._ordinary)
            end = next(ends, None)
            if end is None:
                name = word.decode("utf-8", "replace")
                raise EngineError(
                    f"this model has no other tokens for {name!r}, the name of one of its control tokens; "
                    "send the prompt without it"
                )
            tokens.append(self._ordinary[word[at:end]])
            at = end
        return tokens

    @cached_property
    def _bytes(self) -> Sequence[bytes]:
        return self._vocabulary()

    @cached_property
    def _ordinary(self) -> Mapping[bytes, int]:
        """Tokens by their bytes; of two with the same the later one, for lone bytes stand before words."""
        return {
            piece: token
            for token, piece in enumerate(self._bytes)
            if piece and not piece.startswith(CONTROL) and token not in self._numbers
        }


class _Covers:
    """The numbers that stand for words while one prompt is rendered: no template changes digits."""

    def __init__(self) -> None:
        self._secret = f"{secrets.randbelow(10**SECRET_DIGITS):0{SECRET_DIGITS}d}"
        self._words: dict[str, int] = {}

    def covered(self, text: str, spans: Sequence[Span]) -> str:
        """Return a text with numbers in place of what lies in `spans`."""
        parts = _cut(text, spans)
        parts[1::2] = [self._number(word) for word in parts[1::2]]
        return "".join(parts)

    def uncovered(self, text: str) -> list[str]:
        """Cut a text at its numbers; every second part is a word again.

        Raises:
            EngineError: the template has cut a number.
        """
        parts, words = re.split(rf"{self._secret}(\d{{8}})", text), list(self._words)
        halves = self._secret[: SECRET_DIGITS // 2], self._secret[SECRET_DIGITS // 2 :]
        if any(half in piece for piece in parts[::2] for half in halves):
            raise EngineError(
                "the model's chat template cuts this prompt inside the name of a control token; "
                "send the prompt without it"
            )
        parts[1::2] = [words[int(number)] for number in parts[1::2]]
        return parts

    def _number(self, word: str) -> str:
        return f"{self._secret}{self._words.setdefault(word, len(self._words)):08d}"


def _covered(messages: Sequence[Message], covers: _Covers, find: Find) -> list[Message]:
    return [
        replace(message, content=covers.covered(message.content, find(message.content)))
        for message in messages
    ]


def _cut(text: str, spans: Sequence[Span]) -> list[str]:
    """Return the parts of a text before, in and after each span: every second one lies in a span."""
    borders = [0, *(border for span in spans for border in span), len(text)]
    return [text[start:end] for start, end in pairwise(borders)]


def _blanks(text: bytes) -> int:
    return len(text) - len(text.lstrip(b" "))
