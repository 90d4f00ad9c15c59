"""One sequence in its slot: what was asked, what is computed, and what the newest logits make of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.engines.contract import Engine, Logits
from agent.engines.guidance import Guide
from agent.engines.options import Finish
from agent.engines.sampling import Sampler
from agent.engines.speculation import Speculation
from agent.engines.stops import StopWatch
from agent.wire.errors import PromptError
from agent.wire.prompt import Grammar, Sampling


@dataclass(frozen=True, slots=True)
class Request:
    """One sequence to compute."""

    id: str
    tokens: tuple[int, ...]
    max_tokens: int | None
    sampling: Sampling
    stop: tuple[str, ...] = ()
    grammar: Grammar | None = None
    deterministic: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What one forward step did for one sequence."""

    id: str
    text: str
    """New text, complete characters only; text that may become a stop string is held back."""
    tokens: int
    """Tokens of the answer so far."""
    finish: Finish | None = None
    cached_tokens: int = 0
    """Prompt tokens that were not computed, because an earlier prompt began with them."""
    accepted_tokens: int = 0
    """Tokens of the answer that were guessed and right."""
    rejected_tokens: int = 0
    """Guesses that were wrong."""
    refusal: PromptError | None = None
    """Why this sequence alone cannot go on."""


class LiveSequence:
    """A sequence that holds a slot."""

    def __init__(self, request: Request, slot: int, engine: Engine, guide: Guide | None) -> None:
        self.request = request
        self.slot = slot
        self.tokens = list(request.tokens)
        """Prompt and answer, as far as they are known."""
        self.fed = 0
        """Tokens whose keys and values are computed."""
        self.cached = 0
        self.leader: tuple[LiveSequence, int] | None = None
        """Who reads the same beginning at this moment, and how long that beginning is."""
        self._limit = request.max_tokens or engine.facts.context_length - len(request.tokens)
        self._end_tokens = engine.end_tokens
        self._sampler = Sampler(request.sampling, request.tokens)
        self._detokenizer = engine.detokenizer()
        self._stops = StopWatch(request.stop)
        self._guide = guide
        self._speculation: Speculation | None = None

    @property
    def is_reading(self) -> bool:
        """Whether its prompt is not computed yet."""
        return self.fed < len(self.request.tokens)

    @property
    def answered(self) -> int:
        """Tokens of the answer so far."""
        return len(self.tokens) - len(self.request.tokens)

    @property
    def room(self) -> int:
        """Tokens that the answer may still have after the next one."""
        return self._limit - self.answered - 1

    @property
    def speculation(self) -> Speculation:
        """What guesses the next tokens; made when it is first asked."""
        if self._speculation is None:
            self._speculation = Speculation(self.tokens)
        return self._speculation

    def advance(self, logits: Logits, draft: Sequence[int]) -> Step:
        """Choose tokens from the logits (1 + guesses, vocabulary); a wrong guess ends the row of right ones.

        Raises:
            EngineError: the logits are not numbers.
        """
        known, text, finish = len(self.tokens), "", None
        right = 0
        for row, guess in zip(logits, [*draft, None], strict=True):
            token = self._choose(row)
            right += token == guess
            piece, finish = self._append(token)
            text += piece
            if finish or token != guess or len(self.tokens) > known + right:
                break
        self.fed = min(known + right, len(self.tokens))
        if draft:
            self.speculation.judge(len(draft), min(right, len(self.tokens) - known))
        return self.step(text, finish)

    def step(self, text: str = "", finish: Finish | None = None) -> Step:
        """Describe where the sequence stands."""
        step = Step(self.request.id, text, self.answered, finish, self.cached)
        if self._speculation is None:
            return step
        guesses = self._speculation
        return replace(step, accepted_tokens=guesses.accepted, rejected_tokens=guesses.rejected)

    def _choose(self, logits: Logits) -> int:
        return self._sampler.choose(self._guide.allowed(logits) if self._guide else logits)

    def _append(self, token: int) -> tuple[str, Finish | None]:
        """Take over a chosen token and those that must follow it; return their text."""
        if token in self._end_tokens:
            return self._rest(), "stop"
        tokens = [token, *self._followers(token)]
        text = ""
        taken = tokens[: self._limit - self.answered]
        for each in taken:
            self.tokens.append(each)
            self._sampler.accept(each)
            if self._speculation:
                self._speculation.push(each)
            text += self._stops.push(self._detokenizer.push(each))
            if self._stops.has_matched:
                return text, "stop"
        if self._guide and self._guide.is_finished and len(taken) == len(tokens):
            return text + self._rest(), "stop"
        return (text + self._rest(), "length") if self.answered >= self._limit else (text, None)

    def _followers(self, token: int) -> list[int]:
        """Return the tokens that the grammar leaves no choice about."""
        if self._guide is None:
            return []
        self._guide.accept(token)
        return self._guide.forced()

    def _rest(self) -> str:
        return self._stops.push(self._detokenizer.rest()) + self._stops.rest()
