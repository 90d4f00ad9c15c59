"""What goes out on one link, within what its broker allows; paho minds none of these limits itself."""

import threading

import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode

from agent.mqtt import packing
from agent.mqtt.dialing import SEND_MAXIMUM
from agent.wire.packets import BrokerLimits, Publication

LOG = structlog.get_logger("promptd.broker")


PACKET_IDS = 65_536
"""A confirmation of an old link must not be taken for one of the next, where packet ids begin anew."""


class Outgoing:
    """The publications of one link; safe to use from every thread."""

    def __init__(self, client: paho.Client, number: int, *, is_v5: bool) -> None:
        """Take a client and the number of its link, which makes packet ids unique over all links."""
        self._client = client
        self._first_id = number * PACKET_IDS
        self._is_v5 = is_v5
        self._limits = BrokerLimits()
        self._quota = _Quota()
        self._named: set[str] = set()
        """Topics of reports that were too large; each is named once."""

    def allow(self, limits: BrokerLimits) -> None:
        """Hear from the broker what it allows, before anything is published."""
        self._limits = limits
        self._quota.most = min(SEND_MAXIMUM, limits.receive_maximum)

    def publish(self, publication: Publication) -> int | None:
        """Queue a publication; return its packet id, or None when it is too large or there is no room."""
        if self._is_too_large(publication):
            return None
        if publication.qos and not self._quota.ask():
            return None
        info = self._client.publish(
            publication.topic,
            publication.payload,
            qos=publication.qos,
            retain=publication.retain and self._limits.can_retain,
            properties=packing.publish_properties(publication) if self._is_v5 else None,
        )
        packet_id = None if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE else info.mid
        if publication.qos:
            self._quota.sent(packet_id)
        return None if packet_id is None else self._first_id + packet_id

    def confirmed(self, packet_id: int) -> int:
        """Hear from the broker that it has a publication, or will never have it; return its unique id."""
        self._quota.confirmed(packet_id)
        return self._first_id + packet_id

    def _is_too_large(self, publication: Publication) -> bool:
        most_bytes = self._limits.max_packet_bytes
        if most_bytes is None or publication.size_bytes <= most_bytes:
            return False
        if publication.topic not in self._named:
            self._named.add(publication.topic)
            size_bytes, hint = publication.size_bytes, "raise the broker's maximum packet size"
            LOG.error("broker_takes_less", topic=publication.topic, size_bytes=size_bytes, hint=hint)
        return True


class _Quota:
    """How many publications of QoS 1 may be unconfirmed (Receive Maximum; MQTT 5, section 4.9).

    A confirmation can come before `publish` has told the packet id. The lock is never held while paho is
    called: paho holds locks of its own when it confirms.
    """

    def __init__(self) -> None:
        self.most = SEND_MAXIMUM
        self._lock = threading.Lock()
        self._asking = 0
        self._unconfirmed: set[int] = set()
        self._early: set[int] = set()

    def ask(self) -> bool:
        """Reserve a place; tell whether there was one."""
        with self._lock:
            if self._asking + len(self._unconfirmed) >= self.most:
                return False
            self._asking += 1
            return True

    def sent(self, packet_id: int | None) -> None:
        """Fill the reserved place, or give it back."""
        with self._lock:
            self._asking -= 1
            if packet_id in self._early:
                self._early.remove(packet_id)
            elif packet_id is not None:
                self._unconfirmed.add(packet_id)
            if not self._asking:
                self._early.clear()

    def confirmed(self, packet_id: int) -> None:
        """Free a place."""
        with self._lock:
            if packet_id in self._unconfirmed:
                self._unconfirmed.remove(packet_id)
            elif self._asking:
                self._early.add(packet_id)
