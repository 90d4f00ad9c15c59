"""Decides which prompt runs when, and ends every prompt once. One thread; others only post events."""

import contextlib
import queue
import time
from collections.abc import Callable, Mapping

from agent.engines.options import Speeds
from agent.flow.endings import Endings
from agent.flow.entries import Entry
from agent.flow.forecast import Outlook
from agent.flow.ledger import Ledger
from agent.flow.patience import Patience
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
    QueueFull,
    Stopping,
    Timeout,
    by_code,
)
from agent.wire.packets import Publish
from agent.wire.prompt import Cancel as CancelWish
from agent.wire.replies import EngineBadge
from agent.worker.death import BREACH, Death
from agent.worker.frames import Alive, Broken, Cancel, Finished, FromWorker, Progress, Refused
from agent.worker.start import Proven
from agent.worker.supervisor import EngineListener, Supervisor

MAX_EVENTS = 4096
MAX_ATTEMPTS = 3
TICK_S = 0.2
MAX_ANSWER_CHARS = 1 << 20
"""Text of one answer; a worker that sends more would fill the memory of the agent, and the disk."""
UNAVAILABLE_RETRY_MS, STOPPING_RETRY_MS = 30_000, 10_000
CANCEL_RETRY_MS = 1000


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
        self._patience = Patience()
        self._checked_s = time.monotonic()
        self._is_condemned = False
        """The worker is being killed: what it still says does not count."""
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
        """End the prompts that `wish` names; called from any thread.

        Raises:
            QueueFull: so many wishes wait that this one would hold up whoever brings it.
        """
        try:
            self._events.put_nowait(lambda: self._cancel(wish))
        except queue.Full:
            wait = "too many cancellations wait; send this one again"
            raise QueueFull(wait, retry_after_ms=CANCEL_RETRY_MS) from None

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
        return Outlook(self._slots, len(self._running), self._measured(), self._endings.experience())

    def engine_up(self, proven: Proven) -> None:
        """Hear that prompts can be computed."""
        self._hand_over(lambda: self._up(proven))

    def engine_frame(self, frame: FromWorker) -> None:
        """Hear what the worker says of a prompt."""
        self._hand_over(lambda: self._hear(frame))

    def engine_down(self, death: Death) -> None:
        """Hear that everything which ran is lost."""
        self._hand_over(lambda: self._down(death))

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
        return self._patience.silence_s

    def trouble(self) -> str:
        """Return why an engine that is ready may be dead all the same, or nothing; called from any thread."""
        return self._patience.trouble(list(self._running.values()))

    def _hand_over(self, event: Callable[[], None]) -> None:
        """Post an event of the supervisor, whose thread is well while a full disk lets it wait here."""
        while True:
            with contextlib.suppress(queue.Full):
                self._events.put(event, timeout=TICK_S)
                return
            if self.supervisor:
                self.supervisor.beat()

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
        running = Running(entry)
        self._ledger.claim(entry.number)
        if not self._running:
            self._patience.wait()
        self._running[running.name] = running
        if refusal := self.supervisor.send(running.frame()):
            self._hear(refusal)

    def _hear(self, frame: FromWorker) -> None:
        if self._is_condemned:
            return
        self._patience.hear(self._running.values())
        match frame:
            case Progress(id=name) | Finished(id=name) | Refused(id=name) if name in self._running:
                self._take(self._running[name], frame)
            case Alive() | Broken():
                pass  # a broken engine ends its process, which tells more
            case _:
                self._condemn(Death(BREACH, f"{frame.kind}, of nothing that runs"))

    def _take(self, running: Running, frame: Progress | Finished | Refused) -> None:
        running.hear(frame)
        if running.chars > MAX_ANSWER_CHARS:
            self._condemn(Death(BREACH, f"an answer of more than {MAX_ANSWER_CHARS} characters"))
            return
        match frame:
            case Progress(text=text):
                self._stream(running, text)
            case Finished(text=text):
                del self._running[running.name]
                self._stream(running, text)
                if not running.is_ended and self._badge:
                    self._endings.complete(running, frame, self._badge)
            case Refused():
                del self._running[running.name]
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

    def _up(self, proven: Proven) -> None:
        self._badge, self._slots, self._is_condemned = proven.badge, proven.facts.slots, False
        measured = self._measured()
        step_s = measured.step_ms_with(self._slots) / 1000 if measured else 0.0
        self._patience.restart(max(step_s, proven.step_s))

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
        running.ended_s = time.monotonic()
        if self.supervisor:
            self.supervisor.send(Cancel(running.name))

    def _check_clocks(self) -> None:
        self._checked_s = time.monotonic()
        while entry := self._ledger.next_expired():
            self._endings.fail(entry, Expired())
        for running in self._running.values():
            if not running.is_ended and running.entry.deadline_s <= now_s():
                self._abandon(running, Timeout())
        # What waits to be heard may be a sign of life: the disk can hold up this thread for long.
        hang = self._patience.hang(self._running.values()) if self._events.empty() else None
        if hang and not self._is_condemned:
            self._condemn(hang)

    def _condemn(self, death: Death) -> None:
        """Kill the worker; `engine_down` follows, and with it the fate of everybody who runs."""
        self._is_condemned = True
        if self.supervisor:
            self.supervisor.kill(death)

    def _measured(self) -> Speeds | None:
        return self._speeds.get(self._badge.variant) if self._badge else None
