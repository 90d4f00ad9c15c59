"""The step loop: all running sequences advance together, one forward step at a time.

Long prompts enter in chunks between the tokens of the others, and a beginning that two prompts share is
computed once: whoever comes second waits for it, or finds it kept. A sequence leaves at its end token, its
token limit, a stop string or a cancellation, and its slot is free for the next step.
"""

import time
from dataclasses import replace

from agent.engines.allowance import common_length
from agent.engines.contract import Engine, Feed, Logits
from agent.engines.guidance import Guidance
from agent.engines.pace import Pace
from agent.engines.prefix_cache import PrefixCache
from agent.engines.sequence import LiveSequence, Request, Step
from agent.wire.errors import ContextLengthExceeded, InvalidField, PromptError

CHUNK_ALONE = 256
"""Chunks of a prompt that must not depend on anybody else, not even on how fast this box is."""
FORCED_TOKENS = 32
"""The most tokens of one answer that enter in one step, however many a grammar forces at once."""
WORTH_WAITING = 16
"""Shared tokens for which a prompt waits until somebody else has computed them."""


class Batch:
    """The sequences that run together on one engine."""

    def __init__(self, engine: Engine, pace: Pace | None = None, *, speculates: bool = True) -> None:
        self._engine = engine
        self._speculates = speculates
        self._pace = pace or Pace(None)
        self._cache = PrefixCache(engine.shelf)
        self._guidance = Guidance(engine)
        self._free = list(range(engine.facts.slots))
        self._running: dict[str, LiveSequence] = {}

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
            UnsupportedSchema: the grammar cannot be followed with this model's tokens.
        """
        self._check(request)
        guide = self._guidance.guide(request.grammar) if request.grammar else None
        self._free.sort()
        newcomer = LiveSequence(request, self._free[0], self._engine, guide)
        newcomer.leader = None if request.deterministic else self._leader(newcomer)
        self._running[request.id] = newcomer
        del self._free[0]

    def cancel(self, request_id: str) -> Step | None:
        """End a sequence at once; None when it does not run (any more)."""
        running = self._running.get(request_id)
        return self._leave(running, running.step(finish="cancelled")) if running else None

    def step(self) -> list[Step]:
        """Advance every sequence by one forward step.

        Raises:
            EngineError: the engine failed; nothing of this batch can be continued.
        """
        feeds = self._plan()
        began_s = time.perf_counter()
        outputs = self._engine.forward([feed for _, feed in feeds])
        self._learn(feeds, (time.perf_counter() - began_s) * 1000)
        steps = [
            self._advance(running, feed, logits)
            for (running, feed), logits in zip(feeds, outputs, strict=True)
        ]
        return [step for step in steps if step]

    def _advance(self, running: LiveSequence, feed: Feed, logits: Logits) -> Step | None:
        end = feed.start + len(feed.tokens)
        if not feed.outputs:
            running.fed = end
            return None
        was_reading = running.is_reading
        try:
            step = running.advance(logits, feed.tokens[len(feed.tokens) - feed.outputs + 1 :])
        except PromptError as error:
            self._engine.truncate(running.slot, running.fed)
            return self._leave(running, replace(running.step(), finish="cancelled", refusal=error))
        if running.fed < end:
            self._engine.truncate(running.slot, running.fed)
        if step.finish:
            return self._leave(running, step)
        if was_reading:
            self._keep(running)
        return step

    def _check(self, request: Request) -> None:
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

    def _plan(self) -> list[tuple[LiveSequence, Feed]]:
        """Every answer gets its next tokens; prompts share one chunk, first come first served."""
        writing = [running for running in self._running.values() if not running.is_reading]
        feeds = [(running, self._next_tokens(running, len(writing))) for running in writing]
        room = self._pace.chunk_tokens()
        someone_is_alone = any(running.request.deterministic for running in writing)
        for running in self._running.values():
            if not running.is_reading:
                continue
            if running.request.deterministic:
                if not someone_is_alone:
                    feeds.append((running, _next_chunk(running, CHUNK_ALONE)))
                someone_is_alone = True
            elif room > 0 and self._has_begun(running):
                feeds.append((running, _next_chunk(running, room)))
                room -= len(feeds[-1][1].tokens)
        return feeds

    def _next_tokens(self, running: LiveSequence, writing: int) -> Feed:
        """Feed what was chosen, and guesses of what comes next where they pay."""
        known, is_alone = running.tokens[running.fed :], running.request.deterministic
        most = self._most_forced(len(known) - 1, 1 if is_alone else writing)
        if len(known) > most:
            return Feed(running.slot, known[:most], running.fed, outputs=0, is_alone=is_alone)
        may_guess = self._speculates and self._engine.can_rewind and len(known) == 1 and not is_alone
        may_guess = may_guess and (self._engine.is_one_pass or writing == 1)
        draft = running.speculation.draft(writing, running.room, self._pace) if may_guess else []
        return Feed(running.slot, known + draft, running.fed, outputs=1 + len(draft), is_alone=is_alone)

    def _most_forced(self, more: int, writing: int) -> int:
        """Return how many tokens may enter at once when a grammar forces so many more than one."""
        shares_passes = self._engine.is_one_pass or writing == 1 or not more
        return FORCED_TOKENS if shares_passes or self._pace.pays_apart(more, writing) else 1

    def _leader(self, newcomer: LiveSequence) -> tuple[LiveSequence, int] | None:
        """Return who is about to compute the longest beginning that this prompt shares with it."""
        tokens, best = newcomer.request.tokens, None
        shared = self._cache.expect(tokens) + WORTH_WAITING
        for other in self._running.values():
            length = common_length(other.request.tokens, tokens[:-1])
            can_lead = other.is_reading and not other.request.deterministic
            if can_lead and length > shared and self._cache.has_room_for(len(other.request.tokens)):
                best, shared = (other, length), length
        return best

    def _has_begun(self, running: LiveSequence) -> bool:
        """Tell whether a prompt may be read now; at its first time it is given what others have computed."""
        if running.leader:
            leader, shared = running.leader
            if leader.request.id in self._running and leader.fed < shared:
                return False
            if leader.request.id in self._running:
                self._keep(leader)
            running.leader = None
        if not running.fed:
            running.fed = running.cached = self._cache.restore(running.request.tokens[:-1], running.slot)
            self._engine.truncate(running.slot, running.fed)
        return True

    def _keep(self, running: LiveSequence) -> None:
        """Keep what is computed of a sequence for those who begin in the same way."""
        if not running.request.deterministic:
            self._cache.insert(running.tokens[: running.fed], running.slot)

    def _learn(self, feeds: list[tuple[LiveSequence, Feed]], took_ms: float) -> None:
        """Learn from steps that read something, or were one pass."""
        is_one_pass = self._engine.is_one_pass or len(feeds) == 1
        if not is_one_pass and any(
            len(feed.tokens) > 1 and not running.is_reading for running, feed in feeds
        ):
            return
        read = sum(len(feed.tokens) for running, feed in feeds if running.is_reading)
        self._pace.note(rows=sum(len(feed.tokens) for _, feed in feeds) - read, read=read, took_ms=took_ms)

    def _leave(self, running: LiveSequence, step: Step) -> Step:
        self._keep(running)
        del self._running[running.request.id]
        self._free.append(running.slot)
        self._engine.truncate(running.slot, 0)
        return step


def _next_chunk(running: LiveSequence, room: int) -> Feed:
    tokens = running.tokens[running.fed : running.fed + room]
    is_last = running.fed + len(tokens) == len(running.tokens)
    return Feed(
        running.slot, tokens, running.fed, outputs=int(is_last), is_alone=running.request.deterministic
    )
