"""Brings the answers out: from the ledger to the broker, closed only when the broker took them."""

import math
import queue
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from agent.flow.ledger import Ledger, Letter
from agent.flow.storage import now_s
from agent.wire.packets import Confirmation, Publish

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


class Publisher:
    """One thread; everybody else only wakes it."""

    def __init__(self, ledger: Ledger, publish: Publish, beat: Callable[[], None]) -> None:
        self._ledger = ledger
        self._publish = publish
        self._beat = beat
        self._events: queue.SimpleQueue[Confirmation | Link | None] = queue.SimpleQueue()
        self._in_flight: dict[int, Letter] = {}
        self._losses: Counter[int] = Counter()
        """Letters that were in flight when a link broke, and how often."""
        self._paused_until_s = 0.0
        self._is_open = False
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
                case Link():
                    self._begin_link()
            self._beat()

    def wake(self) -> None:
        """Say that there is something to send."""
        self._events.put(None)

    def open(self, *, is_open: bool) -> None:
        """Say whether there is a link."""
        self._is_open = is_open
        self._events.put(Link())

    def confirmed(self, confirmation: Confirmation) -> None:
        """Pass on what the broker says; called on the network thread."""
        self._events.put(confirmation)

    def drain(self, deadline_s: float) -> bool:
        """Wait until nothing is unsent or the monotonic clock passes `deadline_s`; tell which."""
        while self._is_open and time.monotonic() < deadline_s:
            if not self._ledger.letters(1):
                return True
            time.sleep(0.01)
        return not self._ledger.letters(1)

    def stop(self) -> None:
        """Let `run` return."""
        self._is_stopping = True
        self.wake()

    def _send(self) -> None:
        if not self._is_open or time.monotonic() < self._paused_until_s:
            return
        flying = {letter.number for letter in self._in_flight.values()}
        window = 1 if self._losses else WINDOW
        for letter in self._ledger.letters(WINDOW + len(flying)):
            if len(self._in_flight) >= window:
                return
            if letter.number not in flying:
                self._post(letter)

    def _post(self, letter: Letter) -> None:
        if not letter.publication.topic:
            self._ledger.delivered(letter.number)
            return
        left_s = math.ceil(letter.deadline_s - now_s())
        packet_id = self._publish(replace(letter.publication, expiry_s=max(SHORTEST_EXPIRY_S, left_s)))
        if packet_id is None:
            self._paused_until_s = time.monotonic() + PAUSE_S
        else:
            self._in_flight[packet_id] = letter

    def _begin_link(self) -> None:
        """Send anew what a broken link took along; what seems to break it flies alone, then is parked."""
        self._paused_until_s = 0.0
        self._losses.update(letter.number for letter in self._in_flight.values())
        self._in_flight.clear()
        for number in [number for number, losses in self._losses.items() if losses >= MAX_LOSSES]:
            LOG.error("answer_breaks_the_link", number=number, hint="is it larger than the broker allows?")
            self._ledger.park(number)
            del self._losses[number]

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
                "answer_refused", topic=letter.publication.topic, reason_code=hex(code), hint="check the ACL"
            )
            self._ledger.park(letter.number)
        else:
            LOG.warning("answer_postponed", reason_code=hex(code))
            self._paused_until_s = time.monotonic() + PAUSE_S
