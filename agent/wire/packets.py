"""What the broker hands to the agent and what the agent hands to the broker, free of any MQTT library."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

from pydantic import ConfigDict

PACKET_OVERHEAD_BYTES, TEXT_OVERHEAD_BYTES = 32, 3
"""Fixed header, packet id and numeric properties; property identifier and length of a text."""
BYTES_AS_BASE64 = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One PUBLISH packet that arrived."""

    topic: str
    payload: bytes
    retain: bool = False
    content_type: str | None = None
    response_topic: str | None = None
    correlation: bytes = b""
    expiry_s: int | None = None
    """Message Expiry Interval, already lowered by the broker's waiting time."""
    properties: tuple[tuple[str, str], ...] = ()
    """MQTT 5 user properties."""


@dataclass(frozen=True, slots=True)
class Publication:
    """One PUBLISH packet to send."""

    __pydantic_config__: ClassVar = BYTES_AS_BASE64

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    content_type: str = "application/json"
    correlation: bytes = b""
    response_topic: str = ""
    expiry_s: int | None = None
    properties: tuple[tuple[str, str], ...] = ()
    """MQTT 5 user properties."""

    @property
    def size_bytes(self) -> int:
        """What the packet takes at most."""
        texts = (self.topic, self.content_type, self.response_topic, *chain.from_iterable(self.properties))
        variable = sum(len(text.encode()) + TEXT_OVERHEAD_BYTES for text in texts)
        return PACKET_OVERHEAD_BYTES + variable + len(self.correlation) + len(self.payload)


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """What a broker allows on one link; the defaults are those of MQTT 5, section 3.2.2.3."""

    max_packet_bytes: int | None = None
    receive_maximum: int = 65_535
    """Publications of QoS 1 that may be unconfirmed."""
    max_qos: int = 2
    can_retain: bool = True


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The broker's word on a publication of QoS 1."""

    packet_id: int
    reason_code: int

    @property
    def is_accepted(self) -> bool:
        """Only codes below 0x80 mean that the broker took the message (MQTT 5, section 2.4)."""
        return self.reason_code < 0x80  # noqa: PLR2004 -- the border the specification draws


Publish = Callable[[Publication], int | None]
"""Hands a publication over; returns its packet id, or None when it was not taken."""
