"""Brings the answers out: from the ledger to the broker, closed only when the broker took them."""

import math
import queue
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from agent.flow.ledger import Ledger, Letter
from agent.flow.storage import now_s
from agent.wire.packets import Confirmation, Publish

LOG = structlog.get_logger("promptd.publisher")

WINDOW = 4
"""Answers in flight: what a crash can make the broker see twice."""
SHORTEST_EXPIRY_S = 60
PAUSE_S = 5.0
TICK_S = 1.0
REFUSED_FOR_GOOD = (0x87, 0x90, 0x99)
"""Not authorized, topic name invalid, payload format invalid (MQTT 5, section 3.4.2.1)."""


class Publisher:
    """One thread; everybody else only wakes it."""

    def __init__(self, ledger: Ledger, publish: Publish, beat: Callable[[], None]) -> None:
        self._ledger = ledger
        self._publish = publish
        self._beat = beat
        self._events: queue.SimpleQueue[Confirmation | None] = queue.SimpleQueue()
        self._in_flight: dict[int, Letter] = {}
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
            if event:
                self._settle(event)
            self._beat()

    def wake(self) -> None:
        """Say that there is something to send."""
        self._events.put(None)

    def open(self, *, is_open: bool) -> None:
        """Say whether there is a link."""
        self._is_open = is_open
        self.wake()

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
        for letter in self._ledger.letters(WINDOW + len(flying)):
            if len(self._in_flight) >= WINDOW:
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

    def _settle(self, confirmation: Confirmation) -> None:
        letter = self._in_flight.pop(confirmation.packet_id, None)
        if letter is None:
            return
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
