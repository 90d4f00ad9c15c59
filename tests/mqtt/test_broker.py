"""The connection, with a real mosquitto and a listener that remembers."""

import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from rig.kinds import Connect, StartBroker
from rig.mosquitto import Mosquitto
from rig.requester import Envelope

from agent.host.pulse import spawn
from agent.mqtt.broker import Broker
from agent.mqtt.dialing import Identity
from agent.settings import BrokerSettings
from agent.wire.packets import BrokerLimits, Confirmation, Delivery, Publication

PATIENCE_S = 20


class Ear:
    """Hears what the broker says; `takes` is what it answers to each delivery, the last one for ever."""

    def __init__(self) -> None:
        self.sessions: list[bool] = []
        self.reasons: list[str] = []
        self.deliveries: list[Delivery] = []
        self.codes: list[int] = []
        self.refusals: list[str] = []
        self.limits = BrokerLimits()
        self.takes = [True]
        self._news = threading.Condition()

    def connected(self, limits: BrokerLimits, *, session_present: bool) -> None:
        self.limits = limits
        self._note(lambda: self.sessions.append(session_present))

    def subscribed(self, refusal: str) -> None:
        self._note(lambda: self.refusals.append(refusal))

    def disconnected(self, reason: str) -> None:
        self._note(lambda: self.reasons.append(reason))

    def received(self, delivery: Delivery) -> bool:
        self._note(lambda: self.deliveries.append(delivery))
        return self.takes.pop(0) if len(self.takes) > 1 else self.takes[0]

    def confirmed(self, confirmation: Confirmation) -> None:
        self._note(lambda: self.codes.append(confirmation.reason_code))

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(is_so, PATIENCE_S), vars(self)

    def _note(self, change: Callable[[], None]) -> None:
        with self._news:
            change()
            self._news.notify_all()


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def join(stack: ExitStack, ear: Ear) -> Callable[..., Broker]:
    """Return a function that keeps a connection until the test ends."""

    def connect(port: int, protocol: str = "5", **wishes: object) -> Broker:
        url = f"mqtt://127.0.0.1:{port}"
        settings = BrokerSettings.model_validate({"url": url, "protocol": protocol, **wishes})
        broker = Broker(settings, Identity("device", ("promptd/in",)), ear)
        deaths: list[BaseException] = []
        thread = spawn("network", broker.run, lambda _, error: deaths.append(error))

        def leave() -> None:
            broker.stop()
            thread.join(PATIENCE_S)
            assert (deaths, thread.is_alive()) == ([], False)

        stack.callback(leave)
        ear.wait_for(lambda: bool(ear.refusals or ear.reasons))
        return broker

    return connect


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_publication_is_confirmed_and_arrives(
    mosquitto: Mosquitto, connect: Connect, join: Callable[..., Broker], ear: Ear, protocol: str
) -> None:
    requester = connect(mosquitto.port)
    broker = join(mosquitto.port, protocol)

    broker.publish(Publication("promptd/out", b"{}"))

    ear.wait_for(lambda: ear.codes == [0])
    assert requester.wait_for(lambda reply: reply.topic == "promptd/out").payload == b"{}"


def test_a_message_arrives_with_its_properties(
    mosquitto: Mosquitto, connect: Connect, join: Callable[..., Broker], ear: Ear
) -> None:
    join(mosquitto.port)
    envelope = Envelope("promptd/answer", b"\x00\xff", 60, "text/plain")

    connect(mosquitto.port).publish("promptd/in", b"hello", envelope)

    ear.wait_for(lambda: len(ear.deliveries) == 1)
    assert ear.deliveries == [
        Delivery(
            "promptd/in",
            b"hello",
            content_type="text/plain",
            response_topic="promptd/answer",
            correlation=b"\x00\xff",
            expiry_s=60,
        )
    ]


def test_a_message_that_breaks_the_rules_of_mqtt_is_left_out_and_the_next_one_arrives(
    mosquitto: Mosquitto, join: Callable[..., Broker], ear: Ear
) -> None:
    join(mosquitto.port)

    for text, properties in (("bad", ["-D", "publish", "content-type", "\ufefftext/plain"]), ("good", [])):
        send = [
            "mosquitto_pub",
            "-V",
            "5",
            "-q",
            "1",
            "-p",
            str(mosquitto.port),
            "-t",
            "promptd/in",
            "-m",
            text,
        ]
        subprocess.run([*send, *properties], check=True)

    ear.wait_for(lambda: len(ear.deliveries) == 1)
    assert (ear.deliveries[0].payload, ear.reasons) == (b"good", [])


def test_a_live_message_that_is_retained_is_seen_as_retained(
    mosquitto: Mosquitto, connect: Connect, join: Callable[..., Broker], ear: Ear
) -> None:
    join(mosquitto.port)

    connect(mosquitto.port).publish("promptd/in", b"hello", retain=True)

    ear.wait_for(lambda: len(ear.deliveries) == 1)
    assert ear.deliveries[0].retain


def test_a_message_that_was_not_taken_comes_again_when_it_is_asked_for(
    mosquitto: Mosquitto, connect: Connect, join: Callable[..., Broker], ear: Ear
) -> None:
    ear.takes = [False, True]
    broker = join(mosquitto.port)
    connect(mosquitto.port).publish("promptd/in", b"hello")
    ear.wait_for(lambda: len(ear.deliveries) == 1)

    broker.redeliver()

    ear.wait_for(lambda: len(ear.deliveries) == 2)
    assert ear.sessions == [False, True]


def test_where_everything_was_taken_nobody_hangs_up(
    mosquitto: Mosquitto, connect: Connect, join: Callable[..., Broker], ear: Ear
) -> None:
    broker = join(mosquitto.port)
    connect(mosquitto.port).publish("promptd/in", b"hello")
    ear.wait_for(lambda: len(ear.deliveries) == 1)

    broker.redeliver()
    broker.publish(Publication("promptd/out", b"{}"))

    ear.wait_for(lambda: len(ear.codes) == 1)
    assert ear.sessions == [False]


def test_the_brokers_largest_packet_is_known_and_kept_to(
    start_mosquitto: StartBroker, join: Callable[..., Broker], ear: Ear
) -> None:
    broker = join(start_mosquitto("allow_anonymous true", "max_packet_size 2000").port)

    packet_ids = [broker.publish(Publication("promptd/out", b"x" * size)) for size in (3000, 100)]

    ear.wait_for(lambda: len(ear.codes) == 1)
    assert (ear.limits.max_packet_bytes, packet_ids[0]) == (2000, None)


def test_a_subscription_that_the_acl_refuses_is_told(
    start_mosquitto: StartBroker, tmp_path: Path, join: Callable[..., Broker], ear: Ear
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write promptd/out\n")

    join(start_mosquitto("allow_anonymous true", f"acl_file {acl}").port)

    ear.wait_for(lambda: len(ear.refusals) == 1)
    assert ear.refusals == [""] or "ACL" in ear.refusals[0]


def test_what_is_published_without_a_link_is_not_taken(
    mosquitto: Mosquitto, join: Callable[..., Broker], ear: Ear
) -> None:
    broker = join(mosquitto.port)
    mosquitto.stop()
    ear.wait_for(lambda: bool(ear.reasons))

    packet_id = broker.publish(Publication("promptd/out", b"{}"))

    assert packet_id is None


def test_a_publication_the_acl_forbids_is_not_accepted(
    start_mosquitto: StartBroker, tmp_path: Path, join: Callable[..., Broker], ear: Ear
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read promptd/in\n")
    broker = join(start_mosquitto("allow_anonymous true", f"acl_file {acl}").port)

    broker.publish(Publication("promptd/out", b"{}"))

    ear.wait_for(lambda: ear.codes == [0x87])
    assert not Confirmation(1, ear.codes[0]).is_accepted


def test_a_broker_that_is_not_there_is_reported(join: Callable[..., Broker], ear: Ear) -> None:
    join(1)

    (reason,) = ear.reasons[:1]

    assert "refused" in reason


def test_why_a_broker_refuses_us_is_what_is_told_last(
    start_mosquitto: StartBroker, join: Callable[..., Broker], ear: Ear
) -> None:
    join(start_mosquitto("allow_anonymous false").port)

    assert "Not authorized" in ear.reasons[-1]


def test_a_secret_that_is_gone_for_a_while_is_a_lost_link_and_not_the_end(
    mosquitto: Mosquitto, join: Callable[..., Broker], ear: Ear, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text("open sesame")
    broker = join(mosquitto.port, username="box", password_file=secret)

    secret.unlink()
    broker.reconnect()
    ear.wait_for(lambda: str(secret) in "".join(ear.reasons))
    secret.write_text("open sesame")

    ear.wait_for(lambda: len(ear.sessions) == 2)
