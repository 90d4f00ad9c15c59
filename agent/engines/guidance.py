"""Structured output: which tokens may follow, so that an answer obeys its grammar; the same for every engine.

The only place of the worker that knows llguidance. Nothing is built before the first grammar arrives: a large
vocabulary takes a second.
"""

from collections.abc import Sequence

import llguidance
import numpy as np

from agent.engines.contract import CONTROL, Engine, Lexicon, Logits
from agent.engines.digits import DigitWatch
from agent.wire.errors import EngineError, UnsupportedSchema
from agent.wire.grammar import definition, limits, plain
from agent.wire.prompt import Grammar

MOST_FORCED = 256
"""Tokens that `forced` returns at once; a schema can force more than any context holds."""


class Guidance:
    """What all answers of one engine share."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._vocabulary: _Vocabulary | None = None

    def guide(self, grammar: Grammar) -> "Guide":
        """Return a guide for one answer.

        Raises:
            UnsupportedSchema: the words of this model cannot follow the grammar.
        """
        try:
            self._vocabulary = self._vocabulary or _Vocabulary(self._engine)
        except EngineError as error:
            raise UnsupportedSchema(f"this model cannot follow a response_format: {error}") from error
        # It raises nothing: what is wrong with the grammar is its state.
        tokenizer, text = self._vocabulary.tokenizer, definition(grammar)
        matcher = llguidance.LLMatcher(tokenizer, text, log_level=0, limits=limits())
        return Guide(matcher, self._vocabulary, is_json=grammar.kind == "json_schema")


class Guide:
    """Follows one answer, token by token."""

    def __init__(self, matcher: llguidance.LLMatcher, vocabulary: "_Vocabulary", *, is_json: bool) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._digits = DigitWatch() if is_json else None
        self._check()

    @property
    def is_finished(self) -> bool:
        """Whether the grammar is complete: only the end may follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def allowed(self, logits: Logits) -> Logits:
        """Return a copy of the logits (vocabulary,) in which tokens that may not follow are impossible.

        Raises:
            UnsupportedSchema: following the grammar became too costly.
        """
        packed = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._check()
        mask = np.unpackbits(packed, count=logits.shape[-1], bitorder="little").view(np.bool_)
        if self._digits and self._digits.is_enough:
            without = mask & ~self._vocabulary.digit_first
            mask = without if without.any() else mask
        return np.where(mask, logits, np.float32(-np.inf))

    def accept(self, token: int) -> None:
        """Go on by a token that was chosen.

        Raises:
            UnsupportedSchema: it may not stand here, or following the grammar became too costly.
        """
        self._matcher.consume_token(token)
        self._check()
        self._watch([token])

    def forced(self) -> list[int]:
        """Return tokens that must follow now, already accepted; never an end token.

        Raises:
            UnsupportedSchema: following the grammar became too costly.
        """
        tokens = self._matcher.compute_ff_tokens()[:MOST_FORCED]
        self._check()
        ends = [place for place, token in enumerate(tokens) if token in self._vocabulary.end_tokens]
        tokens = tokens[: ends[0]] if ends else tokens
        self._matcher.consume_tokens(tokens)
        self._check()
        self._watch(tokens)
        return tokens

    def _watch(self, tokens: Sequence[int]) -> None:
        if self._digits:
            for token in tokens:
                self._digits.push(self._vocabulary.pieces[token])

    def _check(self) -> None:
        """Refuse this one prompt: a matcher that has failed once allows nothing but the end, for ever."""
        if self._matcher.is_error():
            reason = plain(self._matcher.get_error())
            raise UnsupportedSchema(f"the answer cannot follow this response_format: {reason}; simplify it")


class _Words:
    """A vocabulary in the form that llguidance's `TokenizerWrapper` reads."""

    bos_token_id = None

    def __init__(self, lexicon: Lexicon, end_tokens: frozenset[int], size: int) -> None:
        # The rows of the logits may outnumber the tokens; those that stand for nothing are never allowed.
        pieces = [*lexicon.tokens, *[b""] * (size - len(lexicon.tokens))]
        control = {number for number, piece in enumerate(pieces) if piece.startswith(CONTROL)} | end_tokens
        self.tokens = [piece.removeprefix(CONTROL) for piece in pieces]
        self.special_token_ids = sorted(control)
        self.eos_token_id = lexicon.end_token
        self._tokenize = lexicon.tokenize
        self._numbers = {piece: n for n, piece in enumerate(pieces) if piece and n not in control}
        self._longest = max(map(len, self._numbers))

    def __call__(self, text: str) -> list[int]:
        """Return tokens whose bytes are the text, exactly; native code waits for it, so it raises nothing."""
        raw = text.encode()
        try:
            tokens = self._tokenize(text)
        except EngineError:  # a character that this tokenizer cannot read
            tokens = []
        # Some tokenizers put a blank or a control token in front.
        return tokens if b"".join(self.tokens[token] for token in tokens) == raw else self._longest_first(raw)

    def _longest_first(self, raw: bytes) -> list[int]:
        """Cut bytes into the longest tokens there are; stop at a byte that no token holds."""
        tokens, start = list[int](), 0
        while start < len(raw):
            pieces = (raw[start : start + length] for length in range(self._longest, 0, -1))
            piece = next((piece for piece in pieces if piece in self._numbers), b"")
            if not piece:
                break
            tokens.append(self._numbers[piece])
            start += len(piece)
        return tokens


class _Vocabulary:
    """The tokens of one engine, as llguidance needs them and as bytes."""

    def __init__(self, engine: Engine) -> None:
        if not engine.end_tokens:
            raise EngineError("it has no token that ends an answer")
        lexicon = engine.lexicon()
        words = _Words(lexicon, engine.end_tokens, engine.facts.vocabulary)
        others = sorted(engine.end_tokens - {lexicon.end_token})
        self.tokenizer = llguidance.LLTokenizer(
            llguidance.TokenizerWrapper(words), eos_token=[lexicon.end_token, *others]
        )
        self.end_tokens = engine.end_tokens
        self.pieces = words.tokens
        self.digit_first = np.array([piece[:1].isdigit() for piece in words.tokens])
