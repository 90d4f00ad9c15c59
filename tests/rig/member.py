"""A member of a fleet with a certificate: it tells what it may write, and remembers what it hears."""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_S = 30.0
REFUSED = 0x80
SESSION_S = 600


class Member:
    """Connected once it is built."""

    def __init__(self, port: int, tls: ssl.SSLContext, client_id: str = "") -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.session_present = False
        self._codes: dict[int, int] = {}
        self._news = threading.Condition()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTv5)
        self._client.tls_set_context(tls)
        self._client.max_inflight_messages = 500
        self._client.on_connect = lambda _client, _data, flags, _code, _properties: self._connected(flags)
        self._client.on_message = lambda _client, _data, message: self._hear(message)
        self._client.on_publish = lambda _client, _data, mid, code, _properties: self._note(mid, code.value)
        self._client.on_subscribe = lambda _client, _data, mid, _codes, _properties: self._note(mid, 0)
        session: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        session.SessionExpiryInterval = SESSION_S if client_id else 0
        self._client.connect("127.0.0.1", port, clean_start=not client_id, properties=session)
        self._client.loop_start()
        self._wait(self._client.is_connected)

    def may_write(self, *topics: str, payload: bytes = b"x") -> list[bool]:
        """Publish to each topic at QoS 1 and return what the broker says, in the same order."""
        numbers = [self._client.publish(topic, payload, 1).mid for topic in topics]
        self._wait(lambda: set(numbers) <= self._codes.keys())
        return [self._codes[number] < REFUSED for number in numbers]

    def listen(self, *filters: str) -> None:
        """Subscribe at QoS 1 and wait for the broker's word; whether something comes is another matter."""
        _, number = self._client.subscribe([(each, 1) for each in filters])
        self._wait(lambda: number in self._codes)

    def topics_until(self, last: str) -> set[str]:
        """Wait for a message on the topic `last`, and return every topic that came up to then."""
        self._wait(lambda: any(topic == last for topic, _ in self.heard))
        return {topic for topic, _ in self.heard}

    def close(self) -> None:
        """Say goodbye."""
        self._client.disconnect()
        self._client.loop_stop()

    def _wait(self, is_so: Any) -> None:  # noqa: ANN401 -- a predicate
        with self._news:
            assert self._news.wait_for(is_so, PATIENCE_S), f"it did not come; this did: {self.heard[-10:]}"

    def _connected(self, flags: Any) -> None:  # noqa: ANN401 -- paho's
        self.session_present = flags.session_present
        with self._news:
            self._news.notify_all()

    def _note(self, number: int, code: int) -> None:
        with self._news:
            self._codes[number] = code
            self._news.notify_all()

    def _hear(self, message: MQTTMessage) -> None:
        with self._news:
            self.heard.append((message.topic, bytes(message.payload)))
            self._news.notify_all()


@contextlib.contextmanager
def member_on(port: int, tls: ssl.SSLContext, client_id: str = "") -> Iterator[Member]:
    """Keep a member connected as long as the context lasts."""
    member = Member(port, tls, client_id)
    try:
        yield member
    finally:
        member.close()
