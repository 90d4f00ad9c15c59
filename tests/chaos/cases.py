"""What a broker may do to an agent: one case a line, the most telling first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rig.box import TOPICS

from chaos import packets
from chaos.fake_broker import GOOD_MANNERS, Limits, Manners, Prompt
from chaos.packets import acknowledgement, connack, number, packet, publish, text

Expected = Literal["answer", "farewell", "survival"]

Deliver = Callable[[Sequence[Prompt]], list[bytes]]

REQUEST = TOPICS.request("chat")
LARGE = "x" * 3000
"""Its answer does not fit into the Maximum Packet Size of its case."""


def one_by_one(prompts: Sequence[Prompt]) -> list[bytes]:
    """Deliver as a broker does."""
    return [prompt.packet(packet_id) for packet_id, prompt in enumerate(prompts, 1)]


def at_once(prompts: Sequence[Prompt]) -> list[bytes]:
    """Deliver all prompts in one segment."""
    return [b"".join(one_by_one(prompts))]


def with_one_packet_id(prompts: Sequence[Prompt]) -> list[bytes]:
    """Deliver different prompts under one packet id, without waiting for its acknowledgement."""
    return [b"".join(prompt.packet(7) for prompt in prompts)]


def with_qos(qos: int) -> Deliver:
    """Deliver at another QoS than the agent has subscribed with."""
    return lambda prompts: [prompt.packet(packet_id, qos) for packet_id, prompt in enumerate(prompts, 1)]


@dataclass(frozen=True, slots=True)
class Case:
    """One misdeed. Whatever it is, the agent lives on, and answers on the next connection that behaves."""

    name: str
    manners: Manners = GOOD_MANNERS
    plays: tuple[bytes, ...] = ()
    """Sent once the agent has subscribed, before the prompts."""
    prompts: int = 1
    text: str = "hello"
    deliver: Deliver = one_by_one
    expected: Expected = "survival"
    """`answer`: on this very connection. `farewell`: the agent leaves it. `survival`: neither is demanded."""
    idle_s: float = 0.0
    """Nothing is said for so long before the prompts."""
    hangs_up: bool = False
    """The broker leaves after what it plays."""
    says: str = ""
    """A word that the log of the agent must hold: what an operator has to mend is told."""


def _limited(limits: Limits, *given: bytes) -> Manners:
    return Manners(connack=connack(*given), limits=limits)


def _refusing(code: int, *given: bytes) -> Manners:
    return Manners(connack=connack(*given, code=code))


def _misplaying(name: str, *plays: bytes, expected: Expected = "survival") -> Case:
    return Case(name, plays=plays, expected=expected)


RULES = (
    Case(
        "Receive Maximum 1",
        _limited(Limits(receive_maximum=1), number(packets.RECEIVE_MAXIMUM, 1)),
        prompts=5,
        expected="answer",
    ),
    Case("Maximum Packet Size 64", _limited(Limits(packet_bytes=64), number(packets.MAXIMUM_PACKET, 64))),
    Case(
        "Maximum Packet Size 1024, a larger answer",
        _limited(Limits(packet_bytes=1024), number(packets.MAXIMUM_PACKET, 1024)),
        text=LARGE,
        expected="answer",
    ),
    Case("Maximum QoS 0", _limited(Limits(qos=0), number(packets.MAXIMUM_QOS, 0))),
    Case("Maximum QoS 1", _limited(Limits(qos=1), number(packets.MAXIMUM_QOS, 1)), expected="answer"),
    Case(
        "Retain Available 0",
        _limited(Limits(takes_retained=False), number(packets.RETAIN_AVAILABLE, 0)),
        expected="answer",
    ),
    Case(
        "Server Keep Alive 1",
        _limited(Limits(keepalive_s=1), number(packets.SERVER_KEEP_ALIVE, 1)),
        idle_s=4,
        expected="answer",
    ),
)
PUBACKS = (
    Case("publications are refused: not authorized", Manners(puback=0x87), says="check the ACL"),
    Case("publications are refused: quota exceeded", Manners(puback=0x97)),
    Case("publications are never acknowledged", Manners(puback=None)),
    Case("publications have no subscriber", Manners(puback=0x10), expected="answer"),
    _misplaying("an acknowledgement of nothing", acknowledgement(packets.PUBACK, 4711), expected="answer"),
)
FAREWELLS = (
    Case("taken over by another client", plays=(packet(packets.DISCONNECT, b"\x8e\0"),), hangs_up=True),
    Case("the server shuts down", plays=(packet(packets.DISCONNECT, b"\x8b\0"),), hangs_up=True),
    Case("a hang-up in the middle of a packet", plays=(Prompt().packet(9)[:40],), hangs_up=True),
    Case(
        "a packet of 256 MB is announced, then silence",
        plays=(b"\x32\xff\xff\xff\x7f",),
        manners=Manners(answers_pings=False),
        expected="farewell",
    ),
    Case("pings are not answered", Manners(answers_pings=False), idle_s=12, expected="farewell"),
    Case("CONNECT is not answered", Manners(connack=b""), prompts=0, expected="farewell"),
)
BYTES = (
    _misplaying("malformed properties", packet(0x32, text(REQUEST), b"\0\x05", b"\x05\xee\xee\xee\xee\xee")),
    _misplaying("a property that ends too early", packet(0x32, text(REQUEST), b"\0\x05", b"\x03\x09\0\x40")),
    _misplaying("a topic that is not UTF-8", publish(b"promptd/\xff\xfe", b"x", 5), expected="answer"),
    _misplaying("an empty topic", publish(b"", b"x", 5)),
    _misplaying("a topic without the end", packet(0x32, b"\x00\x40abc")),
    _misplaying("a topic nobody subscribed to", publish("promptd/v1/other", b"x", 5)),
    _misplaying("a topic alias nobody allowed", publish(b"", b"x", 5, number(packets.TOPIC_ALIAS, 1))),
    _misplaying("an invalid QoS", packet(0x36, text(REQUEST), b"\0\x05\0", b"x")),
    _misplaying("packet id 0", publish(REQUEST, b"hello", 0)),
    _misplaying("PUBREL of nothing", acknowledgement(packets.PUBREL, 4711), expected="answer"),
    _misplaying("an UNSUBACK of nothing", acknowledgement(packets.UNSUBACK, 4711)),
    _misplaying("a second CONNACK", connack()),
    _misplaying("a PINGRESP nobody asked for", packet(packets.PINGRESP), expected="answer"),
    _misplaying("AUTH, though nobody asked", packet(packets.AUTH)),
    _misplaying("packet type 0", b"\0\0"),
    _misplaying("a length of five digits", b"\x32\xff\xff\xff\xff\x01"),
)
STREAMS = (
    Case("every byte in a segment of its own", Manners(slice_bytes=1), expected="answer"),
    Case("100 prompts in one segment", prompts=100, deliver=at_once, expected="answer"),
    Case("two prompts under one packet id", prompts=2, deliver=with_one_packet_id, expected="answer"),
    Case("a prompt at QoS 0", Manners(suback=0), deliver=with_qos(0), expected="answer"),
    Case("a prompt at QoS 2", deliver=with_qos(2)),
)
DOORS = (
    Case(
        "a session is present that nobody left",
        Manners(connack=connack(is_session_present=True)),
        expected="answer",
    ),
    Case("the subscription is refused: 0x80", Manners(suback=0x80), says="subscription_refused"),
    Case("the subscription is refused: 0x87", Manners(suback=0x87), says="subscription_refused"),
    Case("the subscription is never acknowledged", Manners(suback=None)),
    Case("the connection is refused: not authorized", _refusing(0x87), prompts=0, says="broker_refused"),
    Case("the connection is refused: banned", _refusing(0x8A), prompts=0, says="broker_refused"),
    Case("the connection is refused: quota exceeded", _refusing(0x97), prompts=0, says="broker_refused"),
    Case("the connection is refused: rate exceeded", _refusing(0x9F), prompts=0, says="broker_refused"),
    Case(
        "use another server",
        _refusing(0x9C, bytes([packets.SERVER_REFERENCE]) + text("other.example")),
        prompts=0,
        says="broker_refused",
    ),
    Case("an unknown property in CONNACK", Manners(connack=packet(0x20, b"\0\0", b"\x02\x7e\0")), prompts=0),
    Case("PUBLISH instead of CONNACK", Manners(connack=publish(REQUEST, b"x", 5)), prompts=0),
    Case(
        "a client id that was not asked for",
        Manners(connack=connack(bytes([packets.ASSIGNED_ID]) + text("you"))),
        expected="answer",
    ),
)
QUICK = (RULES[0], RULES[4], PUBACKS[0], PUBACKS[3], FAREWELLS[0], *BYTES[0:3:2], *STREAMS[:2], DOORS[0])
"""The cases of the short form."""
_ALL = (*RULES, *PUBACKS, *FAREWELLS, *BYTES, *STREAMS, *DOORS)
CASES = (*QUICK, *(one for one in _ALL if one not in QUICK))
