"""Decides which prompt runs when, and ends every prompt once. One thread; others only post events."""

import contextlib
import queue
import time
from collections.abc import Callable, Mapping

from agent.engines.options import EngineFacts, Speeds
from agent.flow.endings import Endings
from agent.flow.forecast import Outlook
from agent.flow.ledger import Entry, Ledger
from agent.flow.running import Running, wall_clock_s
from agent.flow.storage import now_s
from agent.wire import replies
from agent.wire.errors import (
    Cancelled,
    EngineCrashed,
    EngineUnavailable,
    Expired,
    OutOfMemory,
    PromptError,
    Stopping,
    Timeout,
    by_code,
)
from agent.wire.packets import Publish
from agent.wire.prompt import Cancel as CancelWish
from agent.wire.replies import EngineBadge
from agent.worker.frames import Cancel, Finished, FromWorker, Generate, Progress, Refused
from agent.worker.process import Death
from agent.worker.supervisor import EngineListener, Supervisor

MAX_EVENTS = 4096
MAX_ATTEMPTS = 3
TICK_S = 0.2
STALL_S = 120.0
"""A worker that says nothing of its prompts for so long hangs."""
UNAVAILABLE_RETRY_MS, STOPPING_RETRY_MS = 30_000, 10_000


class Dispatcher(EngineListener):
    """Fills the slots of the engine from the ledger, and turns what the engine says into answers."""

    def __init__(
        self,
        ledger: Ledger,
        endings: Endings,
        publish: Publish,
        beat: Callable[[], None],
        speeds: Mapping[str, Speeds] | None = None,
    ) -> None:
        self._ledger = ledger
        self._endings = endings
        self._publish = publish
        self._beat = beat
        self._speeds = speeds or {}
        self._events: queue.Queue[Callable[[], None]] = queue.Queue(MAX_EVENTS)
        self._running: dict[str, Running] = {}
        self._badge: EngineBadge | None = None
        self._slots = 0
        self._heard_s = self._checked_s = time.monotonic()
        self._is_draining = False
        self._is_stopping = False
        self.supervisor: Supervisor | None = None
        """Set by whoever composes the agent: the supervisor talks back to the dispatcher."""

    def run(self) -> None:
        """Handle events until `stop`; the body of the dispatcher thread."""
        while not self._is_stopping:
            with contextlib.suppress(queue.Empty):
                self._events.get(timeout=TICK_S)()
            if time.monotonic() - self._checked_s >= TICK_S:
                self._check_clocks()
            self._fill()
            self._beat()

    def wake(self) -> None:
        """Say that a prompt waits; called from any thread."""
        if self._events.empty():
            self._events.put(lambda: None)

    def cancel(self, wish: CancelWish) -> None:
        """End the prompts that `wish` names; called from any thread."""
        self._events.put(lambda: self._cancel(wish))

    def obstacle(self) -> PromptError | None:
        """Return why no prompt is taken at the moment; called from any thread."""
        if self._is_draining:
            return Stopping(retry_after_ms=STOPPING_RETRY_MS)
        if self.supervisor and self.supervisor.state.phase == "failed":
            reason = f"no engine runs on this device: {self.supervisor.state.reason}"
            return EngineUnavailable(reason, retry_after_ms=UNAVAILABLE_RETRY_MS)
        return None

    def outlook(self) -> Outlook:
        """Return what tells when a new prompt starts and ends; called from any thread."""
        speeds = self._speeds.get(self._badge.variant) if self._badge else None
        return Outlook(self._slots, len(self._running), speeds, self._endings.experience())

    def engine_up(self, facts: EngineFacts, badge: EngineBadge) -> None:
        """Hear that prompts can be computed."""
        self._events.put(lambda: self._up(facts, badge))

    def engine_frame(self, frame: FromWorker) -> None:
        """Hear what the worker says of a prompt."""
        self._events.put(lambda: self._hear(frame))

    def engine_down(self, death: Death) -> None:
        """Hear that everything which ran is lost."""
        self._events.put(lambda: self._down(death))

    def drain(self, deadline_s: float) -> bool:
        """Start nothing new; wait for what runs until the monotonic clock passes `deadline_s`; tell which."""
        self._is_draining = True
        while self._running and time.monotonic() < deadline_s:
            time.sleep(TICK_S / 10)
        return not self._running

    def stop(self) -> None:
        """Let `run` return; what still runs goes back into the queue, unblamed."""
        self._is_stopping = True
        self.wake()

    def requeue(self) -> None:
        """Put back what was running when the agent stopped; called after `run` has returned."""
        for running in self._running.values():
            if not running.is_ended:
                self._ledger.release(running.entry.number, is_blamed=False)
        self._running.clear()

    @property
    def running_count(self) -> int:
        """Prompts that hold a slot."""
        return len(self._running)

    @property
    def silence_s(self) -> float:
        """Seconds since the worker last said anything."""
        return time.monotonic() - self._heard_s

    def _fill(self) -> None:
        while not self._is_draining and len(self._running) < self._slots:
            entry = self._ledger.next_waiting()
            if entry is None or not self._may_join(entry):
                return
            if entry.deadline_s <= now_s():
                self._endings.fail(entry, Expired())
            elif entry.attempts >= MAX_ATTEMPTS:  # it took the whole agent down, or the box
                self._endings.fail(entry, EngineCrashed())
            else:
                self._start(entry)

    def _may_join(self, entry: Entry) -> bool:
        """Let a prompt that was there when a worker died run alone: it can then harm nobody else."""
        are_alone = all(running.entry.attempts == 0 for running in self._running.values())
        return not self._running or (entry.attempts == 0 and are_alone)

    def _start(self, entry: Entry) -> None:
        if self.supervisor is None:
            return
        running, prompt = Running(entry), entry.prompt
        self._ledger.claim(entry.number)
        if not self._running:
            self._heard_s = time.monotonic()
        self._running[running.name] = running
        frame = Generate(
            id=running.name,
            messages=prompt.messages,
            text=prompt.text,
            max_tokens=prompt.max_tokens,
            sampling=prompt.sampling,
            stop=prompt.stop,
            grammar=prompt.grammar,
            deterministic=prompt.deterministic,
        )
        self.supervisor.send(frame)

    def _hear(self, frame: FromWorker) -> None:
        self._heard_s = time.monotonic()
        match frame:
            case Progress(id=name, text=text) if name in self._running:
                self._stream(self._running[name], text)
            case Finished(id=name) if name in self._running:
                running = self._running.pop(name)
                self._stream(running, frame.text)
                if not running.is_ended and self._badge:
                    self._endings.complete(running, frame, self._badge)
            case Refused(id=name) if name in self._running:
                running = self._running.pop(name)
                if not running.is_ended:
                    self._endings.fail(running.entry, by_code(frame.code)(frame.message))

    def _stream(self, running: Running, text: str) -> None:
        if not text or running.is_ended:
            return
        running.pieces.append(text)
        prompt = running.entry.prompt
        if prompt.stream and prompt.reply_to.topic and self._badge:
            self._publish(replies.chunk(prompt, text, running.chunks, self._badge, wall_clock_s()))
            running.chunks += 1

    def _up(self, facts: EngineFacts, badge: EngineBadge) -> None:
        self._badge, self._slots = badge, facts.slots

    def _down(self, death: Death) -> None:
        """Count the attempt of everybody who was there; whoever has used up its attempts is answered."""
        self._slots = 0
        for running in self._running.values():
            if running.is_ended:
                continue
            if running.entry.attempts + 1 >= MAX_ATTEMPTS:
                self._endings.fail(
                    running.entry, OutOfMemory() if death.is_out_of_memory else EngineCrashed()
                )
            else:
                self._ledger.release(running.entry.number, is_blamed=True)
        self._running.clear()

    def _cancel(self, wish: CancelWish) -> None:
        for entry in self._ledger.find(wish):
            running = self._running.get(str(entry.number))
            self._abandon(running, Cancelled()) if running else self._endings.fail(entry, Cancelled())

    def _abandon(self, running: Running, error: PromptError) -> None:
        """Write the ending now; the slot is free once the worker has let go, within one step."""
        self._endings.fail(running.entry, error)
        running.is_ended = True
        if self.supervisor:
            self.supervisor.send(Cancel(running.name))

    def _check_clocks(self) -> None:
        self._checked_s = time.monotonic()
        while entry := self._ledger.next_expired():
            self._endings.fail(entry, Expired())
        for running in self._running.values():
            if not running.is_ended and running.entry.deadline_s <= now_s():
                self._abandon(running, Timeout())
        if self._running and self.silence_s > STALL_S and self.supervisor:
            self._heard_s = time.monotonic()
            self.supervisor.kill(f"no sign of life for {STALL_S:.0f} s")
