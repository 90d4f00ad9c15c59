"""The talk with the provisioning service over MQTT: asks on one topic, hears on another."""

import threading
import uuid
from collections import deque
from types import TracebackType
from typing import Self

from agent.host.pulse import spawn
from agent.mqtt.broker import Broker
from agent.mqtt.dialing import Identity
from agent.settings import BrokerSettings
from agent.wire.packets import BrokerLimits, Confirmation, Delivery, Publication
from agent.wire.topics import EnrolmentTopics

MAX_REPLY_BYTES = 65_536
MAX_UNREAD = 16
STOP_S = 2.0


class Asking:
    """One link to the broker for as long as the context lasts; it comes back by itself."""

    def __init__(self, settings: BrokerSettings, topics: EnrolmentTopics) -> None:
        self._topics = topics
        self._news = threading.Condition()
        self._unread: deque[bytes] = deque(maxlen=MAX_UNREAD)
        self._death: BaseException | None = None
        # The whole batch shares the claim, so that a fixed client id would make its boxes kick each other.
        identity = Identity(
            f"enrol-{uuid.uuid4().hex}",
            (topics.reply,),
            keeps_session=False,
            max_payload_bytes=MAX_REPLY_BYTES,
        )
        self._broker = Broker(settings, identity, self)
        self.is_listening = False
        """Whether the broker has taken the subscription: only then an answer can be heard."""
        self.obstacle = "the broker has not answered yet"
        """Why nothing can be asked at the moment; empty when something can."""

    def __enter__(self) -> Self:
        self._thread = spawn("enrolment", self._broker.run, self._died)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._broker.stop()
        self._thread.join(STOP_S)

    def ask(self, payload: bytes) -> None:
        """Publish at QoS 1; what gets lost is asked again by whoever waits for the answer."""
        self._broker.publish(Publication(self._topics.ask, payload))

    def hear(self, timeout_s: float) -> bytes | None:
        """Return the next reply, or None when none came in time.

        Raises:
            AgentError: the link cannot go on.
        """
        with self._news:
            self._news.wait_for(lambda: self._unread or self._death, timeout_s)
            if self._death:
                raise self._death
            return self._unread.popleft() if self._unread else None

    def connected(self, limits: BrokerLimits, *, session_present: bool) -> None:
        """Hear from the broker: there is a link; what matters is the subscription that follows."""

    def subscribed(self, refusal: str) -> None:
        """Hear from the broker: whether answers can come."""
        self.is_listening, self.obstacle = not refusal, refusal

    def disconnected(self, reason: str) -> None:
        """Hear from the broker: there is no link."""
        self.is_listening, self.obstacle = False, reason

    def received(self, delivery: Delivery) -> bool:
        """Hear from the broker: a reply; a retained one answers somebody else."""
        if delivery.topic == self._topics.reply and not delivery.retain:
            with self._news:
                self._unread.append(delivery.payload)
                self._news.notify_all()
        return True

    def confirmed(self, confirmation: Confirmation) -> None:
        """Hear from the broker: whether it takes our question."""
        if not confirmation.is_accepted:
            self.obstacle = (
                f"the broker refuses our request (0x{confirmation.reason_code:02x}); its ACL must let this "
                f"claim write {self._topics.ask}"
            )

    def _died(self, _name: str, error: BaseException) -> None:
        with self._news:
            self._death = error
            self._news.notify_all()
