"""A bare MQTT requester: one request at a time, timed on the wire, with as little of its own as possible."""

import queue
import socket
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

ANSWER_TIMEOUT_S = 120.0


def connected(port: int, on_message: Callable[..., None]) -> paho.Client:
    """Return a client with Nagle's algorithm off and its network thread running."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_socket_open = _no_delay
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


def _no_delay(_client: paho.Client, _data: object, link: Any) -> None:  # noqa: ANN401 -- a paho callback
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Requester:
    """Publishes to one topic and waits on its own response topic."""

    def __init__(self, port: int, response_topic: str) -> None:
        self._response_topic = response_topic
        self._messages: queue.SimpleQueue[tuple[float, paho.MQTTMessage]] = queue.SimpleQueue()
        self._client = connected(
            port, lambda _c, _d, message: self._messages.put((time.perf_counter(), message))
        )
        self._client.subscribe(response_topic, qos=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def ask(self, topic: str, payload: bytes, *, is_json: bool = True) -> list[tuple[float, str, bytes]]:
        """Publish, and return every message of the answer as (seconds since the publish, event, body)."""
        properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.ResponseTopic = self._response_topic
        properties.CorrelationData = uuid.uuid4().bytes
        if is_json:
            properties.ContentType = "application/json"
        began_s = time.perf_counter()
        self._client.publish(topic, payload, qos=1, properties=properties)
        heard: list[tuple[float, str, bytes]] = []
        while not heard or heard[-1][1] not in ("completed", "failed"):
            at_s, message = self._messages.get(timeout=ANSWER_TIMEOUT_S)
            event = dict(getattr(message.properties, "UserProperty", ())).get("event", "completed")
            heard.append((at_s - began_s, event, bytes(message.payload)))
        return heard
