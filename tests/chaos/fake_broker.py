"""A broker that speaks enough MQTT 5 to a real agent, and then breaks rules, or insists on its limits.

The scenario turns the crank: nothing is read or said but inside `serve`.
"""

import contextlib
import json
import select
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from rig.box import TOPICS, chat

from chaos import packets
from chaos.packets import Packet, Published

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that the fake broker hands to the agent."""

    correlation: bytes = field(default_factory=lambda: uuid.uuid4().bytes)
    text: str = "hello"

    def packet(self, packet_id: int, qos: int = 1) -> bytes:
        """Return it as a PUBLISH."""
        return packets.publish(
            TOPICS.request("chat"),
            json.dumps(chat(self.text)).encode(),
            packet_id,
            bytes([packets.RESPONSE_TOPIC]) + packets.text("promptd/v1/client/fake/response/all"),
            bytes([packets.CORRELATION]) + packets.text(self.correlation),
            qos=qos,
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """What the CONNACK of a case has told the agent; a real broker hangs up on whoever does not keep it."""

    receive_maximum: int = 65_535
    packet_bytes: int = 268_435_455
    qos: int = 2
    takes_retained: bool = True
    keepalive_s: float = 600.0

    def broken_by(self, size_bytes: int, one: Published, in_flight: int) -> str:
        """Return how a publication breaks a limit; empty if it does not."""
        rules = (
            (size_bytes > self.packet_bytes, f"a packet of {size_bytes} bytes is over Maximum Packet Size"),
            (one.qos > self.qos, f"QoS {one.qos} is over Maximum QoS"),
            (one.is_retained and not self.takes_retained, "retained, though Retain Available is 0"),
            (in_flight > self.receive_maximum, f"{in_flight} in flight are over Receive Maximum"),
        )
        return next((words for is_broken, words in rules if is_broken), "")


@dataclass(frozen=True, slots=True)
class Manners:
    """How the broker behaves on one connection; the default is good manners."""

    connack: bytes = packets.connack()
    """Empty: CONNECT is never answered."""
    suback: int | None = 1
    puback: int | None = 0
    """None: a publication is never acknowledged."""
    limits: Limits = Limits()
    answers_pings: bool = True
    slice_bytes: int = 0
    """0: every packet in one segment."""


GOOD_MANNERS = Manners()


class Link:
    """One connection of the agent, seen from the broker."""

    def __init__(self, stream: socket.socket, manners: Manners) -> None:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.settimeout(5)
        self._stream = stream
        self._manners = manners
        self._buffer = bytearray()
        self._unacknowledged: list[int] = []
        self._heard_s = time.monotonic()
        self.is_open = True
        self.has_begun = self.is_subscribed = False
        self.heard: list[Published] = []
        self.taken: list[Published] = []
        """Publications that were acknowledged as taken."""
        self.violations: list[str] = []

    def serve(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Read and answer until something is so, the link ends or the time is over; tell whether it is so."""
        end_s = time.monotonic() + timeout_s
        while self.is_open and not until() and time.monotonic() < end_s:
            self._turn()
        return until()

    def begin(self, timeout_s: float) -> bool:
        """Wait for CONNECT and answer it; False if whoever dialled has left again."""
        return self.serve(lambda: self.has_begun, timeout_s)

    def send(self, data: bytes) -> None:
        """Send what may be a packet."""
        step = self._manners.slice_bytes or len(data) or 1
        with contextlib.suppress(OSError):  # the agent has hung up: `serve` notices
            for start in range(0, len(data), step):
                self._stream.sendall(data[start : start + step])

    def close(self) -> None:
        """Hang up."""
        self.is_open = False
        self._stream.close()

    def _turn(self) -> None:
        if not select.select([self._stream], [], [], POLL_S)[0]:
            self._acknowledge()
            if time.monotonic() - self._heard_s > 1.5 * self._manners.limits.keepalive_s:
                self._object("no packet for one and a half times Server Keep Alive")
            return
        try:
            data = self._stream.recv(65_536)
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._heard_s = time.monotonic()
        self._buffer += data
        for one in packets.split(self._buffer):
            if self.is_open:
                self._hear(one)

    def _hear(self, one: Packet) -> None:
        name = one.body[:2]
        match one.kind:
            case packets.CONNECT:
                self.has_begun = True
                self.send(self._manners.connack)
            case packets.SUBSCRIBE:
                self.is_subscribed = True
                if (code := self._manners.suback) is not None:
                    self.send(packets.acknowledgement(packets.SUBACK, int.from_bytes(name), code))
            case packets.PUBLISH:
                self._take(one)
            case packets.PINGREQ if self._manners.answers_pings:
                self.send(packets.packet(packets.PINGRESP))
            case packets.PUBREC:
                self.send(packets.acknowledgement(packets.PUBREL, int.from_bytes(name)))

    def _take(self, one: Packet) -> None:
        publication = packets.published(one)
        self.heard.append(publication)
        if publication.qos:
            self._unacknowledged.append(publication.packet_id)
        limits = self._manners.limits
        if broken := limits.broken_by(one.size_bytes, publication, len(self._unacknowledged)):
            self._object(broken)
        elif self._manners.puback is not None:
            if self._manners.puback < 0x80:
                self.taken.append(publication)
            if limits.receive_maximum > 100:  # else wait a moment: perhaps the agent sends more than it may
                self._acknowledge()

    def _acknowledge(self) -> None:
        if self._manners.puback is None:
            return
        for packet_id in self._unacknowledged:
            self.send(packets.acknowledgement(packets.PUBACK, packet_id, self._manners.puback))
        self._unacknowledged.clear()

    def _object(self, violation: str) -> None:
        self.violations.append(violation)
        self.send(packets.packet(packets.DISCONNECT, b"\x82", packets.properties()))  # protocol error
        self.close()


class FakeBroker:
    """Listens on a free loopback port; use as a context manager."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def admit(self, manners: Manners, timeout_s: float) -> Link | None:
        """Wait until the agent dials and says CONNECT; None if it does not."""
        end_s = time.monotonic() + timeout_s
        while (left_s := end_s - time.monotonic()) > 0:
            if select.select([self._listener], [], [], left_s)[0]:
                link = Link(self._listener.accept()[0], manners)
                if link.begin(left_s):
                    return link
                link.close()
        return None
