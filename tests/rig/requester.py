"""A small MQTT requester that remembers everything it hears."""

import contextlib
import json
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One message that came."""

    topic: str
    payload: bytes
    qos: int = 1
    is_retained: bool = False
    content_type: str = ""
    correlation: bytes = b""
    expiry_s: int | None = None
    format_indicator: int | None = None
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> Any:  # noqa: ANN401 -- JSON
        return json.loads(self.payload)

    @property
    def event(self) -> str:
        return self.properties.get("event", "")

    @property
    def is_ending(self) -> bool:
        return self.event in ("completed", "failed")


@dataclass(frozen=True, slots=True)
class Envelope:
    """The MQTT 5 properties of a request."""

    response_topic: str = ""
    correlation: bytes = b""
    expiry_s: int | None = None
    content_type: str = ""


class Requester:
    """Connected and subscribed to everything once it is built."""

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        protocol: str = "5",
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] = ("", ""),
    ) -> None:
        self.replies: list[Reply] = []
        self._is_v5 = protocol == "5"
        self._news = threading.Condition()
        self._is_subscribed = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"test-{uuid.uuid4().hex[:8]}",
            protocol=MQTTv5 if self._is_v5 else MQTTv311,
            clean_session=None if self._is_v5 else False,
        )
        if tls:
            self._client.tls_set_context(tls)
        if login[0]:
            self._client.username_pw_set(*login)
        self._client.on_connect = lambda *_: self._subscribe()
        self._client.on_subscribe = lambda *_: self._subscribed()
        self._client.on_message = lambda _client, _data, message: self._hear(message)
        self._client.on_publish = lambda *_: self._wake()
        self._client.reconnect_delay_set(1, 1)
        session: dict[str, Any] = {}
        if self._is_v5:
            # Answers that come while this requester is away wait for it at the broker.
            expiry: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
            expiry.SessionExpiryInterval = 600
            session = {"clean_start": False, "properties": expiry}
        self._client.connect(host, port, **session)
        self._client.loop_start()
        assert self._is_subscribed.wait(PATIENCE_S), "the test's requester could not subscribe"

    def publish(
        self, topic: str, payload: bytes, envelope: Envelope | None = None, *, retain: bool = False
    ) -> None:
        """Publish at QoS 1 and wait for the broker's word."""
        properties = _properties(envelope or Envelope()) if self._is_v5 else None
        with self._news:
            assert self._news.wait_for(self._client.is_connected, PATIENCE_S), "the broker does not come back"
        packet = self._client.publish(topic, payload, 1, retain, properties)
        with self._news:
            assert self._news.wait_for(packet.is_published, PATIENCE_S), "the broker did not take the request"

    def wait_for(self, is_wanted: Callable[[Reply], bool], timeout_s: float = PATIENCE_S) -> Reply:
        """Return the first message that is wanted, waiting for it."""
        return self.wait_for_many(is_wanted, 1, timeout_s)[0]

    def wait_for_many(
        self, is_wanted: Callable[[Reply], bool], count: int, timeout_s: float = PATIENCE_S
    ) -> list[Reply]:
        """Return all wanted messages once there are `count`."""

        def found() -> list[Reply]:
            return [reply for reply in self.replies if is_wanted(reply)]

        with self._news:
            self._news.wait_for(lambda: len(found()) >= count, timeout_s)
            wanted = found()
            heard = [(reply.topic, reply.event, reply.payload[:120]) for reply in self.replies[-10:]]
        assert len(wanted) >= count, f"{len(wanted)} of {count} came; the last messages: {heard}"
        return wanted

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _subscribe(self) -> None:
        self._client.subscribe("promptd/#", qos=1)

    def _subscribed(self) -> None:
        self._is_subscribed.set()
        self._wake()

    def _wake(self) -> None:
        with self._news:
            self._news.notify_all()

    def _hear(self, message: MQTTMessage) -> None:
        if "/request/" in message.topic:
            return
        given = message.properties
        reply = Reply(
            topic=message.topic,
            payload=bytes(message.payload),
            qos=message.qos,
            is_retained=message.retain,
            content_type=getattr(given, "ContentType", ""),
            correlation=getattr(given, "CorrelationData", b""),
            expiry_s=getattr(given, "MessageExpiryInterval", None),
            format_indicator=getattr(given, "PayloadFormatIndicator", None),
            properties=dict(getattr(given, "UserProperty", [])),
        )
        with self._news:
            self.replies.append(reply)
            self._news.notify_all()


def _properties(envelope: Envelope) -> Properties:
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    if envelope.response_topic:
        properties.ResponseTopic = envelope.response_topic
    if envelope.correlation:
        properties.CorrelationData = envelope.correlation
    if envelope.expiry_s is not None:
        properties.MessageExpiryInterval = envelope.expiry_s
    if envelope.content_type:
        properties.ContentType = envelope.content_type
    built: Properties = properties
    return built


@contextlib.contextmanager
def requester_on(port: int, **how: Any) -> Iterator[Requester]:  # noqa: ANN401 -- as the constructor's
    """Keep a requester as long as the context lasts."""
    requester = Requester(port, **how)
    try:
        yield requester
    finally:
        requester.close()
