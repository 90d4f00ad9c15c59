"""MQTT 5 packets as bytes, right and wrong ones: what the fake broker says and reads."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL = 0x10, 0x20, 0x30, 0x40, 0x50, 0x62
SUBSCRIBE, SUBACK, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 0x82, 0x90, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0

RESPONSE_TOPIC, CORRELATION, USER_PROPERTY = 0x08, 0x09, 0x26
SERVER_KEEP_ALIVE, ASSIGNED_ID, SERVER_REFERENCE, TOPIC_ALIAS = 0x13, 0x12, 0x1C, 0x23
RECEIVE_MAXIMUM, MAXIMUM_QOS, RETAIN_AVAILABLE, MAXIMUM_PACKET = 0x21, 0x24, 0x25, 0x27

SIZES = {0x01: 1, 0x17: 1, 0x19: 1, 0x24: 1, 0x25: 1, 0x28: 1, 0x29: 1, 0x2A: 1} | {
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), 2),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), 4),
}
"""Bytes of the values that are plain numbers; the others are text or bytes (MQTT 5, section 2.2.2.2)."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as it came."""

    first: int
    body: bytes
    size_bytes: int

    @property
    def kind(self) -> int:
        """The first byte without the flags of a PUBLISH."""
        return PUBLISH if self.first & 0xF0 == PUBLISH else self.first


@dataclass(frozen=True, slots=True)
class Published:
    """What the agent published."""

    topic: str
    qos: int
    is_retained: bool
    packet_id: int
    payload: bytes
    correlation: bytes = b""
    said: dict[str, str] = field(default_factory=dict)
    """User properties."""


def packet(first: int, *parts: bytes) -> bytes:
    """Join the parts of a packet behind its first byte and length."""
    body = b"".join(parts)
    return bytes([first]) + length(len(body)) + body


def length(number: int) -> bytes:
    """Return a variable byte integer (MQTT 5, section 1.5.5)."""
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F)
    return bytes([*(digit | 0x80 for digit in digits[:-1]), digits[-1]])


def text(value: str | bytes) -> bytes:
    """Return a string or binary data behind its length."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(data)) + data


def number(identifier: int, value: int) -> bytes:
    """Return a property whose value is a number."""
    return bytes([identifier]) + value.to_bytes(SIZES[identifier])


def properties(*parts: bytes) -> bytes:
    """Return a list of properties behind its length."""
    joined = b"".join(parts)
    return length(len(joined)) + joined


def connack(*given: bytes, code: int = 0, is_session_present: bool = False) -> bytes:
    """Return the answer to CONNECT."""
    return packet(CONNACK, bytes([is_session_present, code]), properties(*given))


def acknowledgement(first: int, packet_id: int, code: int = 0) -> bytes:
    """Return a PUBACK, PUBREL, SUBACK or UNSUBACK with one reason code."""
    head = struct.pack(">H", packet_id)
    if first in (SUBACK, UNSUBACK):
        return packet(first, head, properties(), bytes([code]))
    return packet(first, head, bytes([code]), properties())


def publish(topic: str | bytes, payload: bytes, packet_id: int, *given: bytes, qos: int = 1) -> bytes:
    """Return a PUBLISH; a packet id is written for every QoS but 0."""
    name = struct.pack(">H", packet_id) if qos else b""
    return packet(PUBLISH | qos << 1, text(topic), name, properties(*given), payload)


def split(buffer: bytearray) -> Iterator[Packet]:
    """Take the whole packets off the beginning of a buffer."""
    while (head := _head(buffer)) and len(buffer) >= sum(head):
        start, size_bytes = head
        whole = bytes(buffer[: start + size_bytes])
        del buffer[: start + size_bytes]
        yield Packet(whole[0], whole[start:], len(whole))


def _head(buffer: bytearray) -> tuple[int, int] | None:
    """Return where the body starts and how long it is; None when the length is not there yet."""
    size_bytes = 0
    for index, digit in enumerate(buffer[1:5]):
        size_bytes |= (digit & 0x7F) << 7 * index
        if digit < 0x80:
            return index + 2, size_bytes
    return None


def published(one: Packet) -> Published:
    """Read a PUBLISH of the agent."""
    qos, body = one.first >> 1 & 3, one.body
    topic, at = _take_text(body, 0)
    packet_id = int.from_bytes(body[at : at + 2]) if qos else 0
    at += 2 if qos else 0
    # Its properties are fewer than 128 bytes or fewer than 16,384: one or two digits.
    size_bytes, width = (body[at], 1) if body[at] < 0x80 else (body[at] & 0x7F | body[at + 1] << 7, 2)
    start = at + width
    correlation, said = _read_properties(body[start : start + size_bytes])
    payload = body[start + size_bytes :]
    return Published(topic.decode(), qos, bool(one.first & 1), packet_id, payload, correlation, said)


def _read_properties(data: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the Correlation Data and the User Properties."""
    correlation, said, at = b"", {}, 0
    while at < len(data):
        identifier, at = data[at], at + 1
        if identifier in SIZES:
            at += SIZES[identifier]
            continue
        value, at = _take_text(data, at)
        if identifier == USER_PROPERTY:
            second, at = _take_text(data, at)
            said[value.decode()] = second.decode()
        elif identifier == CORRELATION:
            correlation = value
    return correlation, said


def _take_text(data: bytes, at: int) -> tuple[bytes, int]:
    end = at + 2 + int.from_bytes(data[at : at + 2])
    return data[at + 2 : end], end
