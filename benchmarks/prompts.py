"""Prompts of an exact number of tokens, made of words that are one token each."""

import os
import random
import string
from functools import cache
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from benchmarks.models import model_path

MIN_LETTERS = 3


@cache
def _tokenizer() -> Any:  # noqa: ANN401 -- the library has no types
    import onnxruntime_genai as og  # noqa: PLC0415 -- native code only where it is needed

    return og.Tokenizer(str(model_path("demo", "onnx")))


@cache
def _words() -> tuple[str, ...]:
    """Return all words of small letters that are one token."""
    tokenizer = _tokenizer()
    texts = [tokenizer.decode([token]) for token in range(640)]
    words = [text for text in texts if len(text) >= MIN_LETTERS and set(text) <= set(string.ascii_lowercase)]
    return tuple(word for word in words if len(tokenizer.encode(word)) == 1)


def words_text(rng: random.Random, tokens: int) -> str:
    """Return random words of so many tokens together; a space between two words is a token, too."""
    text = " ".join(rng.choices(_words(), k=(tokens + 1) // 2)) + ("" if tokens % 2 else ".")
    if (seen := len(_tokenizer().encode(text))) != tokens:
        raise SystemExit(f"a prompt of {tokens} tokens came out as {seen}; the demo's tokenizer has changed")
    return text
