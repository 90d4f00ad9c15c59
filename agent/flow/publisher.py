"""Brings the answers out: from the ledger to the broker, closed only when the broker took them."""

import contextlib
import math
import queue
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from agent.flow.entries import Letter
from agent.flow.ledger import Ledger
from agent.flow.storage import DiskShortError, now_s
from agent.wire import replies
from agent.wire.errors import PayloadTooLarge
from agent.wire.packets import BrokerLimits, Confirmation, Publish

LOG = structlog.get_logger("promptd.publisher")

WINDOW = 4
"""Answers in flight: what a crash can make the broker see twice."""
SHORTEST_EXPIRY_S = 60
MAX_LOSSES = 5
PAUSE_S = 5.0
TICK_S = 1.0
REFUSED_FOR_GOOD = (0x87, 0x90, 0x99)
"""Not authorized, topic name invalid, payload format invalid (MQTT 5, section 3.4.2.1)."""


@dataclass(frozen=True, slots=True)
class Link:
    """The link came or went: what was in flight is in flight no more."""

    limits: BrokerLimits | None
    """None: there is no link."""


@dataclass(frozen=True, slots=True)
class Retry:
    """What was set aside gets another try: the broker's rules may have changed."""


class Publisher:
    """One thread; everybody else only wakes it."""

    def __init__(self, ledger: Ledger, publish: Publish, beat: Callable[[], None]) -> None:
        self._ledger = ledger
        self._publish = publish
        self._beat = beat
        self._events: queue.SimpleQueue[Confirmation | Link | Retry | None] = queue.SimpleQueue()
        self._in_flight: dict[int, Letter] = {}
        self._losses: Counter[int] = Counter()
        """Letters that were in flight when a link broke, and how often."""
        self._breakers: set[int] = set()
        """Letters that broke too many links: not even a repeated request brings them back before `retry`."""
        self._paused_until_s = 0.0
        self._limits: BrokerLimits | None = None
        self._is_stopping = False

    def run(self) -> None:
        """Send and confirm until `stop`; the body of the publisher thread."""
        while not self._is_stopping:
            self._send()
            try:
                event = self._events.get(timeout=TICK_S)
            except queue.Empty:
                event = None
            match event:
                case Confirmation():
                    self._settle(event)
                case Link(limits=limits):
                    self._begin_link(limits)
                case Retry():
                    self._breakers.clear()
                    self._unpark()
            self._beat()

    def wake(self) -> None:
        """Say that there is something to send."""
        self._events.put(None)

    def open(self, limits: BrokerLimits) -> None:
        """Say that there is a link, and what the broker allows on it."""
        self._events.put(Link(limits))

    def shut(self) -> None:
        """Say that there is no link."""
        self._events.put(Link(None))

    def retry(self) -> None:
        """Try again what was set aside; called from any thread."""
        self._events.put(Retry())

    def confirmed(self, confirmation: Confirmation) -> None:
        """Pass on what the broker says; called on the network thread."""
        self._events.put(confirmation)

    def drain(self, deadline_s: float) -> bool:
        """Wait until nothing is unsent or the monotonic clock passes `deadline_s`; tell which."""
        while self._limits and time.monotonic() < deadline_s:
            if not self._ledger.letters(1):
                return True
            time.sleep(0.01)
        return not self._ledger.letters(1)

    def stop(self) -> None:
        """Let `run` return."""
        self._is_stopping = True
        self.wake()

    def _send(self) -> None:
        if self._limits is None or time.monotonic() < self._paused_until_s:
            return
        flying = {letter.number for letter in self._in_flight.values()}
        window = 1 if self._losses else min(WINDOW, self._limits.receive_maximum)
        for letter in self._ledger.letters(WINDOW + len(flying)):
            if letter.number in flying:
                continue
            if letter.number in self._breakers:
                self._ledger.park(letter.number)
                continue
            if len(self._in_flight) >= window or not self._post(letter, self._limits):
                return

    def _post(self, letter: Letter, limits: BrokerLimits) -> bool:
        """Hand a letter to the link; False when it takes nothing more at the moment."""
        if not letter.publication.topic:
            self._ledger.delivered(letter.number)
            return True
        left_s = math.ceil(letter.deadline_s - now_s())
        publication = replace(letter.publication, expiry_s=max(SHORTEST_EXPIRY_S, left_s))
        if limits.max_packet_bytes and publication.size_bytes > limits.max_packet_bytes:
            self._shorten(letter, limits.max_packet_bytes)
            return True
        packet_id = self._publish(publication)
        if packet_id is not None:
            self._in_flight[packet_id] = letter
        return packet_id is not None

    def _shorten(self, letter: Letter, max_packet_bytes: int) -> None:
        """Let an error take the place of an answer that the broker would hang up on, again and again."""
        size_bytes = letter.publication.size_bytes
        error = PayloadTooLarge(
            f"the answer needs {size_bytes} bytes, and this device's broker takes {max_packet_bytes}; "
            f"lower max_tokens, or raise the broker's maximum packet size"
        )
        shorter = replies.instead(letter.publication, error)
        LOG.error("answer_too_large", size_bytes=size_bytes, max_packet_bytes=max_packet_bytes)
        fits = shorter.size_bytes <= max_packet_bytes
        if fits and self._ledger.replace(letter.number, shorter):
            self.wake()
        else:
            self._ledger.park(letter.number)

    def _begin_link(self, limits: BrokerLimits | None) -> None:
        """Send anew what a broken link took along; what seems to break it flies alone, then is parked."""
        self._limits = limits
        self._paused_until_s = 0.0
        self._losses.update(letter.number for letter in self._in_flight.values())
        self._in_flight.clear()
        for number in [number for number, losses in self._losses.items() if losses >= MAX_LOSSES]:
            LOG.error("answer_breaks_the_link", number=number, hint="is it larger than the broker allows?")
            self._breakers.add(number)
            del self._losses[number]
        if limits:
            self._unpark()

    def _unpark(self) -> None:
        with contextlib.suppress(DiskShortError):  # another time
            self._ledger.retry_parked()

    def _settle(self, confirmation: Confirmation) -> None:
        letter = self._in_flight.pop(confirmation.packet_id, None)
        if letter is None:
            return
        self._losses.pop(letter.number, None)
        code = confirmation.reason_code
        if confirmation.is_accepted:
            self._ledger.delivered(letter.number)
        elif code in REFUSED_FOR_GOOD:
            LOG.error(
                "answer_refused",
                topic=letter.publication.topic,
                reason_code=hex(code),
                hint="check the ACL: it does not let this box answer there, or the box was revoked",
            )
            self._ledger.park(letter.number)
        else:
            LOG.warning("answer_postponed", reason_code=hex(code))
            self._paused_until_s = time.monotonic() + PAUSE_S
