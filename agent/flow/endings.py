"""The one ending of a prompt: written with its answer in one commit, counted, and logged in one line."""

from collections.abc import Callable

import structlog

from agent.flow.entries import Entry
from agent.flow.ledger import Ledger
from agent.flow.meter import Experience, Meter, Sample
from agent.flow.running import Running, wall_clock_s
from agent.wire import replies
from agent.wire.errors import PromptError
from agent.wire.replies import Completion, EngineBadge, Timings, Usage
from agent.worker.frames import Finished

LOG = structlog.get_logger("promptd.prompt")

SHORTEST_MS = 0.001
"""The worker measures durations, and is not to be trusted: a rate over less is no number any more."""


class Endings:
    """Whoever ends a prompt ends it here."""

    def __init__(self, ledger: Ledger, meter: Meter, wake_publisher: Callable[[], None]) -> None:
        self._ledger = ledger
        self._meter = meter
        self._wake_publisher = wake_publisher

    def experience(self) -> Experience | None:
        """Return what the last answers were like; None before the first one."""
        return self._meter.experience()

    def complete(self, running: Running, frame: Finished, badge: EngineBadge) -> None:
        """End a prompt with its answer."""
        timings = _timings(running, frame)
        answer = Completion(
            text="".join(running.pieces),
            finish_reason="length" if frame.finish == "length" else "stop",
            usage=_usage(frame),
            timings=timings,
            engine=badge,
        )
        entry = running.entry
        if not self._ledger.finish(entry.number, replies.completed(entry.prompt, answer, wall_clock_s())):
            return
        self._wake_publisher()
        self._meter.completed(
            Sample(
                first_token_ms=timings.first_token_ms,
                total_ms=running.total_ms,
                run_ms=frame.prompt_ms + frame.decode_ms,
                tokens=frame.tokens,
                prompt_tokens_per_s=_rate(frame.prompt_tokens - frame.cached_tokens, frame.prompt_ms),
                decode_tokens_per_s=timings.decode_tokens_per_s,
            )
        )
        self._log(
            entry,
            "completed",
            variant=badge.variant,
            finish=frame.finish,
            prompt_tokens=frame.prompt_tokens,
            cached_tokens=frame.cached_tokens,
            tokens=frame.tokens,
            queue_ms=timings.queue_ms,
            total_ms=round(running.total_ms, 1),
        )

    def fail(self, entry: Entry, error: PromptError) -> None:
        """End a prompt without an answer."""
        prompt = entry.prompt
        if self._ledger.finish(entry.number, replies.failed(prompt.id, prompt.reply_to, error)):
            self._wake_publisher()
            self._meter.failed(error.code)
            self._log(entry, error.code)

    def _log(self, entry: Entry, outcome: str, **fields: object) -> None:
        """Write the canonical line of a prompt; its text never stands in it."""
        prompt, attempts = entry.prompt, entry.attempts + 1
        LOG.info(
            "prompt", id=prompt.id, operation=prompt.operation, outcome=outcome, attempts=attempts, **fields
        )


def _timings(running: Running, frame: Finished) -> Timings:
    return Timings(
        queue_ms=round(running.queue_ms, 1),
        prompt_ms=round(frame.prompt_ms, 1),
        first_token_ms=round(running.queue_ms + frame.prompt_ms, 1),
        decode_ms=round(frame.decode_ms, 1),
        decode_tokens_per_s=_rate(frame.tokens - 1, frame.decode_ms),
    )


def _usage(frame: Finished) -> Usage:
    return Usage(
        prompt_tokens=frame.prompt_tokens,
        completion_tokens=frame.tokens,
        cached_tokens=frame.cached_tokens,
        accepted_tokens=frame.accepted_tokens,
        rejected_tokens=frame.rejected_tokens,
    )


def _rate(tokens: int, duration_ms: float) -> float | None:
    """Return tokens per second; None where there is nothing to measure, as with an answer of one token."""
    return round(tokens / duration_ms * 1000, 1) if tokens > 0 and duration_ms >= SHORTEST_MS else None
