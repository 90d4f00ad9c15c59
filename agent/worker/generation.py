"""The worker's loop: frames in, one forward step for all, frames out."""

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.engines.batch import Batch
from agent.engines.contract import Engine
from agent.engines.options import EngineOptions
from agent.engines.pace import Pace
from agent.engines.sequence import Request, Step
from agent.engines.speed import measure
from agent.wire.errors import EngineError, PromptError
from agent.worker.frames import (
    Alive,
    Cancel,
    Finished,
    FromWorker,
    Generate,
    Measure,
    Measured,
    Measuring,
    Progress,
    Refused,
    ToWorker,
)

GATHER_S = 0.05
GATHER_BYTES = 256
ALIVE_S = 1.0
"""After so long without any other frame, a step is worth one: the agent kills who is silent for too long."""


@dataclass(slots=True)
class Answer:
    """What the worker remembers of a running prompt."""

    prompt_tokens: int
    started_s: float
    first_token_s: float = 0.0
    sent_s: float = 0.0
    text: str = ""
    """Text that no frame has carried yet."""

    def is_due(self, now_s: float) -> bool:
        """Tell whether the gathered text should travel now; the first token never waits."""
        return not self.sent_s or now_s - self.sent_s >= GATHER_S or len(self.text.encode()) >= GATHER_BYTES


class Generation:
    """Computes what the agent asks for until the stream ends."""

    def __init__(
        self,
        engine: Engine,
        options: EngineOptions,
        frames: "queue.Queue[ToWorker | None]",
        send: Callable[[FromWorker], None],
    ) -> None:
        self._engine = engine
        self._batch = Batch(engine, Pace(options.speeds), speculates=options.speculation)
        self._frames = frames
        self._deliver = send
        self._said_s = 0.0
        self._answers: dict[str, Answer] = {}

    def run(self) -> None:
        """Take frames between steps; wait for one while nothing runs.

        Raises:
            EngineError: the engine failed.
            OSError: the agent is gone.
        """
        while True:
            try:
                frame = self._frames.get(block=self._batch.is_idle)
            except queue.Empty:
                self._step()
                continue
            match frame:
                case Generate():
                    self._admit(frame)
                case Cancel(id=prompt_id):
                    if step := self._batch.cancel(prompt_id):
                        self._report(step)
                case Measure():
                    self._measure()
                case _:
                    return

    def _admit(self, frame: Generate) -> None:
        started_s = time.monotonic()
        try:
            chat = self._engine.chat_tokens(frame.messages) if frame.messages else None
            tokens = self._engine.text_tokens(frame.text) if chat is None else chat
            self._batch.admit(
                Request(
                    id=frame.id,
                    tokens=tuple(tokens),
                    max_tokens=frame.max_tokens,
                    sampling=frame.sampling,
                    stop=frame.stop,
                    grammar=frame.grammar,
                    deterministic=frame.deterministic,
                )
            )
        except PromptError as error:
            self._send(Refused(frame.id, error.code, error.message))
        except EngineError as error:
            self._send(Refused(frame.id, "invalid_field", str(error)))
        else:
            self._answers[frame.id] = Answer(len(tokens), started_s)

    def _measure(self) -> None:
        if self._batch.is_idle:
            found = measure(self._engine, lambda share: self._send(Measuring(share)))
            self._send(Measured(found.speeds, found.notes))

    def _step(self) -> None:
        for step in self._batch.step():
            self._report(step)
        if time.monotonic() - self._said_s >= ALIVE_S:
            self._send(Alive())

    def _send(self, frame: FromWorker) -> None:
        self._deliver(frame)
        self._said_s = time.monotonic()

    def _report(self, step: Step) -> None:
        now_s = time.monotonic()
        if step.refusal:
            del self._answers[step.id]
            self._send(Refused(step.id, step.refusal.code, step.refusal.message))
            return
        answer = self._answers[step.id]
        answer.first_token_s = answer.first_token_s or now_s
        answer.text += step.text
        if step.finish:
            self._finish(step, answer, now_s)
        elif answer.is_due(now_s):
            self._send(Progress(step.id, answer.text, step.tokens))
            answer.text, answer.sent_s = "", now_s

    def _finish(self, step: Step, answer: Answer, now_s: float) -> None:
        del self._answers[step.id]
        self._send(
            Finished(
                id=step.id,
                text=answer.text,
                finish=step.finish or "stop",
                prompt_tokens=answer.prompt_tokens,
                tokens=step.tokens,
                prompt_ms=(answer.first_token_s - answer.started_s) * 1000,
                decode_ms=(now_s - answer.first_token_s) * 1000,
                cached_tokens=step.cached_tokens,
                accepted_tokens=step.accepted_tokens,
                rejected_tokens=step.rejected_tokens,
            )
        )
