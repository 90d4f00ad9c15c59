"""The step loop: all running sequences advance together, one forward step at a time.

Long prompts enter in chunks between the tokens of the others. A sequence leaves at its end token, its token
limit, a stop string or a cancellation, and its slot is free for the next step.
"""

from dataclasses import dataclass, field

from agent.engines.contract import Detokenizer, Engine, Feed, Logits
from agent.engines.options import Finish
from agent.engines.sampling import Sampler
from agent.engines.stops import StopWatch
from agent.wire.errors import ContextLengthExceeded, InvalidField
from agent.wire.prompt import Sampling

CHUNK_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Request:
    """One sequence to compute."""

    id: str
    tokens: tuple[int, ...]
    max_tokens: int | None
    sampling: Sampling
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What one forward step did for one sequence."""

    id: str
    text: str
    """New text, complete characters only; text that may become a stop string is held back."""
    tokens: int
    """Tokens of the answer so far."""
    finish: Finish | None = None


@dataclass(slots=True)
class Running:
    """A sequence in its slot."""

    request: Request
    slot: int
    limit: int
    sampler: Sampler
    detokenizer: Detokenizer
    stops: StopWatch
    fed: int = 0
    """Tokens in the KV cache."""
    answer: list[int] = field(default_factory=list)

    def next_feed(self, room: int) -> Feed:
        """Return the tokens to feed now: the newest one, or at most `room` of the prompt."""
        prompt = self.request.tokens
        if self.answer:
            return Feed(self.slot, self.answer[-1:], self.fed, wants_logits=True)
        tokens = prompt[self.fed : self.fed + room]
        return Feed(self.slot, tokens, self.fed, wants_logits=self.fed + len(tokens) == len(prompt))


class Batch:
    """The sequences that run together on one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._free = list(range(engine.facts.slots))
        self._running: dict[str, Running] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no sequence runs."""
        return not self._running

    @property
    def is_full(self) -> bool:
        """Whether no slot is free."""
        return not self._free

    def admit(self, request: Request) -> None:
        """Give the sequence the lowest free slot; it takes part from the next step on.

        Raises:
            ContextLengthExceeded: prompt and answer do not fit into one slot.
            InvalidField: the prompt has no tokens; an engine cannot continue nothing.
        """
        if not request.tokens:
            raise InvalidField("the prompt holds no token; send some text")
        context, prompt, answer = (
            self._engine.facts.context_length,
            len(request.tokens),
            request.max_tokens or 1,
        )
        if prompt + answer > context:
            raise ContextLengthExceeded(
                f"{prompt} prompt tokens and {answer} answer tokens do not fit into the context of {context} "
                f"tokens; shorten the prompt or lower max_tokens"
            )
        self._free.sort()
        self._running[request.id] = Running(
            request=request,
            slot=self._free.pop(0),
            limit=request.max_tokens or context - prompt,
            sampler=Sampler(request.sampling),
            detokenizer=self._engine.detokenizer(),
            stops=StopWatch(request.stop),
        )

    def cancel(self, request_id: str) -> Step | None:
        """End a sequence at once; None when it does not run (any more)."""
        running = self._running.get(request_id)
        return self._leave(running, "", "cancelled") if running else None

    def step(self) -> list[Step]:
        """Advance every sequence by one forward step.

        Raises:
            EngineError: the engine failed; nothing of this batch can be continued.
        """
        feeds = self._plan()
        steps: list[Step] = []
        for (running, feed), logits in zip(
            feeds, self._engine.forward([feed for _, feed in feeds]), strict=True
        ):
            running.fed += len(feed.tokens)
            if logits is not None:
                steps.append(self._advance(running, logits))
        return steps

    def _plan(self) -> list[tuple[Running, Feed]]:
        """Every answer gets its next token; prompts share one chunk, first come first served."""
        room = CHUNK_TOKENS
        feeds: list[tuple[Running, Feed]] = []
        for running in self._running.values():
            if running.answer:
                feeds.append((running, running.next_feed(1)))
            elif room:
                feed = running.next_feed(room)
                room -= len(feed.tokens)
                feeds.append((running, feed))
        return feeds

    def _advance(self, running: Running, logits: Logits) -> Step:
        token = running.sampler.choose(logits)
        if token in self._engine.end_tokens:
            return self._leave(
                running, running.stops.push(running.detokenizer.rest()) + running.stops.rest(), "stop"
            )
        running.answer.append(token)
        text = running.stops.push(running.detokenizer.push(token))
        if running.stops.has_matched:
            return self._leave(running, text, "stop")
        if len(running.answer) >= running.limit:
            return self._leave(running, text + self._rest(running), "length")
        return Step(running.request.id, text, len(running.answer))

    def _rest(self, running: Running) -> str:
        return running.stops.push(running.detokenizer.rest()) + running.stops.rest()

    def _leave(self, running: Running, text: str, finish: Finish) -> Step:
        del self._running[running.request.id]
        self._free.append(running.slot)
        self._engine.forget(running.slot)
        return Step(running.request.id, text, len(running.answer), finish)
