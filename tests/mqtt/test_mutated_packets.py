"""Thousands of damaged packets of a broker: the network thread outlives each of them.

`PACKETS=100000 .venv/bin/python -m pytest tests/mqtt/test_mutated_packets.py` runs through as many.
"""

import contextlib
import os
import random
import socket
from collections.abc import Iterator

import pytest
from chaos import packets

from agent.host.pulse import spawn
from agent.mqtt.broker import Broker
from agent.mqtt.dialing import Identity
from agent.settings import BrokerSettings
from agent.wire.packets import BrokerLimits, Confirmation, Delivery

COUNT = int(os.environ.get("PACKETS", "1000"))
ON_ONE_LINK, GREETED = 3, 0.9
PATIENCE_S = 20.0
TOPIC = "promptd/v1/device/box/request/chat"
REPLY_TO = bytes([packets.RESPONSE_TOPIC]) + packets.text("promptd/v1/client/me/response/1")
NAMED = bytes([packets.CORRELATION]) + packets.text(b"abc")
SAID = bytes([packets.USER_PROPERTY]) + packets.text("a") + packets.text("b")
EXPIRES = packets.number(0x02, 60)
WHOLE = (
    packets.publish(TOPIC, b'{"messages": []}', 7, REPLY_TO, NAMED, SAID),
    packets.publish(TOPIC, b"hello", 0, qos=0),
    packets.publish(TOPIC, b"hello", 8, EXPIRES, qos=2),
    packets.publish("", b"by alias", 9, packets.number(packets.TOPIC_ALIAS, 1), EXPIRES),
    packets.connack(packets.number(packets.RECEIVE_MAXIMUM, 5), packets.number(packets.MAXIMUM_PACKET, 90)),
    *(packets.acknowledgement(kind, 1) for kind in (packets.PUBACK, packets.PUBREC, packets.PUBREL)),
    *(packets.acknowledgement(kind, 1) for kind in (packets.SUBACK, packets.UNSUBACK)),
    packets.packet(packets.PINGRESP),
    packets.packet(packets.DISCONNECT, b"\x8e", packets.properties()),
    packets.packet(packets.AUTH, b"\x18", packets.properties()),
)
GOOD = packets.connack() + packets.publish(TOPIC, b"at last", 11)


class Ear:
    """Acknowledges everything and keeps what was delivered."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def connected(self, limits: BrokerLimits, *, session_present: bool) -> None:
        pass

    def subscribed(self, refusal: str) -> None:
        pass

    def disconnected(self, reason: str) -> None:
        pass

    def received(self, delivery: Delivery) -> bool:
        self.payloads.append(delivery.payload)
        return True

    def confirmed(self, confirmation: Confirmation) -> None:
        pass


def damaged(chance: random.Random) -> bytes:
    """Return a packet with bytes changed, cut out, put in or repeated; its length may be mended after it."""
    content = bytearray(chance.choice(WHOLE))
    for _ in range(chance.randint(1, 3)):
        at, size = chance.randrange(len(content) + 1), chance.randint(0, 6)
        content[at : at + size] = chance.choice(
            (chance.randbytes(size), b"", content[at : at + size] * 2, b"\xff\xff", b"\0\0", b"\xef\xbb\xbf")
        )
    if len(content) > 2 and chance.random() < 0.7:
        return packets.packet(content[0], bytes(content[2:]))
    return bytes(content)


def talk(server: socket.socket, words: bytes) -> bytes:
    """Let the agent dial, say this, hang up when it has heard it; return what it said but its CONNECT."""
    link, _ = server.accept()
    heard = b""
    with link, contextlib.suppress(OSError):
        link.settimeout(PATIENCE_S)
        link.recv(4096)
        link.sendall(words)
        link.shutdown(socket.SHUT_WR)
        while data := link.recv(4096):
            heard += data
    return heard


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_S)
        yield server


@pytest.fixture
def deaths(server: socket.socket, ear: Ear, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """Let a network thread dial the server without rests; return what it dies of."""
    monkeypatch.setattr("agent.mqtt.broker.FIRST_WAIT_S", 0)
    monkeypatch.setattr("agent.mqtt.take_overs.TakeOvers.rest_s", lambda *_: 0.0)
    deaths: list[BaseException] = []
    url = f"mqtt://127.0.0.1:{server.getsockname()[1]}"
    broker = Broker(BrokerSettings(url=url), Identity("box", (TOPIC,)), ear)
    thread = spawn("network", broker.run, lambda _, error: deaths.append(error))
    yield deaths
    broker.stop()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_the_network_thread_outlives_damaged_packets(
    server: socket.socket, ear: Ear, deaths: list[BaseException]
) -> None:
    chance = random.Random(5)  # noqa: S311 -- repeatable, no secret
    for _ in range(COUNT // ON_ONE_LINK):
        greeting = packets.connack() if chance.random() < GREETED else damaged(chance)
        talk(server, greeting + b"".join(damaged(chance) for _ in range(ON_ONE_LINK)))

    heard = talk(server, GOOD)

    assert (deaths, ear.payloads[-1]) == ([], b"at last")
    assert packets.acknowledgement(packets.PUBACK, 11)[2:4] in heard
