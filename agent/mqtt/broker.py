"""The connection to the broker, kept up by one thread of ours.

Every callback runs on that thread, so a message is acknowledged on the connection it came by and in order; an
acknowledgement from elsewhere, or from before a reconnect, can acknowledge a different message. What is not
acknowledged comes again only after a reconnect. Publishing is safe from every thread: it queues the packet
and wakes the thread.
"""

import contextlib
import itertools
import random
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import structlog
import tenacity
from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.mqtt import dialing, packing
from agent.mqtt.dialing import Identity
from agent.mqtt.outgoing import Outgoing
from agent.mqtt.take_overs import TakeOvers
from agent.mqtt.tolerant import TolerantClient
from agent.settings import BrokerSettings
from agent.wire.errors import ConfigError
from agent.wire.packets import BrokerLimits, Confirmation, Delivery, Publication

LOG = structlog.get_logger("promptd.broker")

FIRST_WAIT_S, LONGEST_WAIT_S = 1, 60
SELECT_S = 1.0
GOODBYE_S = 0.5
"""How long a link may take for its last packets before it is left without them."""
SUBSCRIBE_AGAIN_S = 60.0
"""After a refused subscription: an ACL can be mended without anybody hanging up."""
SEND_RETAINED, NO_RETAINED = 0, 2  # Retain Handling at subscription (MQTT 5, section 3.8.3.1)


class Listener(Protocol):
    """Who hears what the broker says, on the network thread; nothing here may wait for the network."""

    def connected(self, limits: BrokerLimits, *, session_present: bool) -> None:
        """Hear that the broker let us in, and what it allows; subscriptions are on their way."""

    def subscribed(self, refusal: str) -> None:
        """Hear what became of the subscriptions; an empty refusal means that all is well."""

    def disconnected(self, reason: str) -> None:
        """Hear that there is no link; the next attempt is on its way."""

    def received(self, delivery: Delivery) -> bool:
        """Take a message; True acknowledges it, False leaves it with the broker until `redeliver`."""
        ...

    def confirmed(self, confirmation: Confirmation) -> None:
        """Hear what the broker says of a publication of QoS 1."""


class _NeverConnectedError(Exception):
    """The broker could not be reached, or did not let us in."""


class Broker:
    """A connection that comes back by itself."""

    def __init__(
        self,
        settings: BrokerSettings,
        identity: Identity,
        listener: Listener,
        beat: Callable[[], None] = lambda: None,
        credentials: Callable[[BrokerSettings], BrokerSettings] = lambda settings: settings,
    ) -> None:
        """Take `credentials` where the certificate changes: it dresses the settings of every new link."""
        self._settings = settings
        self._credentials = credentials
        self._identity = identity
        self._listener = listener
        self._is_v5 = settings.protocol == "5"
        self._stopping = threading.Event()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.settimeout(0)
        self._take_overs = TakeOvers()
        self._links = itertools.count()
        self._client = self._build()
        self._outgoing = Outgoing(self._client, next(self._links), is_v5=self._is_v5)
        self._beat = beat
        self._admitted_s: float | None = None
        self._subscribe_again_s: float | None = None
        self._has_left_some = self._hangs_up = self._hurries = False
        self._last_words = ""
        self.is_connected = False

    def run(self) -> None:
        """Stay connected until `stop`; the body of the network thread."""
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_NeverConnectedError),
            wait=tenacity.wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
            sleep=self._pause,
            stop=tenacity.stop_when_event_set(self._stopping),
        )
        with self._wake_reader, self._wake_writer:
            while not self._stopping.is_set():
                with contextlib.suppress(tenacity.RetryError):
                    attempts(self._live)
                self._pause(self._rest_s())

    def publish(self, publication: Publication) -> int | None:
        """Queue a publication; return its packet id, or None when there is no link or no room.

        What the link takes along when it breaks is not sent again from here: the ledger remembers it.
        """
        outgoing = self._outgoing
        return outgoing.publish(publication) if self.is_connected else None

    def redeliver(self) -> None:
        """Hang up if messages were left with the broker, so that it sends them again."""
        if self._has_left_some:
            LOG.info("broker_asked_again", hint="messages could not be stored before")
            self._hangs_up = True
            self._client.disconnect()
            self._wake()

    def reconnect(self) -> None:
        """Hang up and come back at once, as the same client, with the certificate of that moment."""
        self._hurries = True
        self._wake()

    def stop(self) -> None:
        """Say goodbye and let `run` return."""
        self._stopping.set()  # the link may be just changing: its own thread knows to whom to say goodbye
        self._wake()

    def _pause(self, duration_s: float) -> None:
        end_s = duration_s
        while end_s > 0 and not self._hurries and not self._stopping.wait(min(end_s, SELECT_S)):
            end_s -= SELECT_S
            self._beat()

    def _live(self) -> None:
        """Connect and serve until the link ends."""
        self._hurries = False  # from here on, whoever wants another certificate asks anew
        self._admitted_s = self._subscribe_again_s = None
        self._last_words = ""
        self._has_left_some = self._hangs_up = False
        try:
            self._client = self._build()
            self._outgoing = Outgoing(self._client, next(self._links), is_v5=self._is_v5)
            dialing.connect(self._client, self._settings, self._identity)
            reason = self._serve()
        except (OSError, ConfigError) as error:  # files were good when we started, and may be good again
            reason = dialing.explain(error)
        self.is_connected = False
        if not self._stopping.is_set():
            LOG.warning("broker_link_lost", reason=reason, host=self._settings.host, port=self._settings.port)
            self._listener.disconnected(reason)
            if self._admitted_s is None and not self._hurries:
                self._take_overs.rest_s(None)
                raise _NeverConnectedError(reason)

    def _serve(self) -> str:
        """Turn until the link ends; return why it ended."""
        while (code := self._turn()) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._beat()
            if self._stopping.is_set() or self._hurries:
                self._say_goodbye()
                return "the certificate changes"
        fault = self._client.fault
        return self._last_words or (dialing.explain(fault) if fault else paho.error_string(code))

    def _say_goodbye(self) -> None:
        """Disconnect, so that the broker does not publish our will."""
        self._client.disconnect()
        end_s = time.monotonic() + GOODBYE_S
        while self._turn() == MQTTErrorCode.MQTT_ERR_SUCCESS and time.monotonic() < end_s:
            self._beat()

    def _rest_s(self) -> float:
        """Return how long to stay away after a link: a fleet must not come back all at once."""
        if self._hurries:
            return 0.0
        has_lived = self._admitted_s is not None and not self._hangs_up
        lived_s = time.monotonic() - (self._admitted_s or 0) if has_lived else None
        rest_s = self._take_overs.rest_s(lived_s)
        if not rest_s or self._stopping.is_set():
            return random.uniform(0, FIRST_WAIT_S)  # noqa: S311 -- jitter is no secret
        reason = (
            f"another client seems to use the id {self._identity.client_id}; give each box its own device_id"
        )
        LOG.error("link_taken_over", reason=reason, rest_s=round(rest_s, 1))
        self._listener.disconnected(reason)
        return rest_s

    def _turn(self) -> MQTTErrorCode:
        """Wait for the socket or a wake-up, then read, write and keep alive."""
        link = self._client.socket()
        if link is None:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        has_rest = bool(getattr(link, "pending", lambda: 0)())
        writers = [link] if self._client.want_write() else []
        readable, writable, _ = select.select(
            [link, self._wake_reader], writers, [], 0 if has_rest else SELECT_S
        )
        code = MQTTErrorCode.MQTT_ERR_SUCCESS
        if self._wake_reader in readable:
            self._wake_reader.recv(4096)
        if link in readable or has_rest:
            code = self._client.loop_read()
        if not code and (writable or self._client.want_write()):
            code = self._client.loop_write()
        if self._subscribe_again_s and time.monotonic() >= self._subscribe_again_s:
            self._subscribe()
        return code or self._client.loop_misc()

    def _wake(self, *_: Any) -> None:  # noqa: ANN401 -- also a paho callback
        with contextlib.suppress(OSError):  # full, or closed: nobody has to be woken
            self._wake_writer.send(b"\0")

    def _build(self) -> TolerantClient:
        client = dialing.build(self._credentials(self._settings), self._identity)
        client.on_connect = lambda _client, _data, *told: self._admitted(*told)
        client.on_disconnect = lambda _client, _data, flags, code, _properties: self._heard_goodbye(
            flags, code
        )
        client.on_message = lambda _client, _data, message: self._received(message)
        client.on_publish = lambda _client, _data, mid, code, _properties: self._confirmed(mid, code)
        client.on_subscribe = lambda _client, _data, _mid, codes, _properties: self._subscribed(codes)
        client.on_socket_register_write = self._wake
        return client

    def _admitted(self, flags: paho.ConnectFlags, code: ReasonCode, properties: Properties | None) -> None:
        limits = packing.limits(properties)
        if code.is_failure or not limits.max_qos:
            reason = str(code) if code.is_failure else "it has no QoS 1, without which prompts would be lost"
            LOG.error("broker_refused", reason=reason, host=self._settings.host)
            self._last_words = f"the broker cannot be used: {reason}"
            self._client.disconnect()
            return
        self._outgoing.allow(limits)
        self._subscribe()
        self.is_connected, self._admitted_s = True, time.monotonic()
        LOG.info("broker_connected", host=self._settings.host, session_present=flags.session_present)
        self._listener.connected(limits, session_present=flags.session_present)

    def _heard_goodbye(self, flags: paho.DisconnectFlags, code: ReasonCode) -> None:
        if flags.is_disconnect_packet_from_server:
            self._last_words = f"the broker hung up: {code}"

    def _subscribe(self) -> None:
        self._subscribe_again_s = None
        topics = self._identity.subscriptions
        if not topics:
            return
        # All in one packet, so that one answer tells of all.
        if self._is_v5:
            # Without Retain As Published the broker hides that a live message is retained.
            retained = SEND_RETAINED if self._identity.wants_retained else NO_RETAINED
            options = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=retained)
            self._client.subscribe([(topic, options) for topic in topics])
        else:
            self._client.subscribe([(topic, 1) for topic in topics])

    def _subscribed(self, codes: list[ReasonCode]) -> None:
        refused, refusal = [str(code) for code in codes if code.is_failure], ""
        if refused:
            LOG.error("subscription_refused", reasons=refused, topics=self._identity.subscriptions)
            refusal = f"the broker refuses our subscription ({refused[0]}); check its ACL"
            self._subscribe_again_s = time.monotonic() + SUBSCRIBE_AGAIN_S
        self._listener.subscribed(refusal)

    def _confirmed(self, packet_id: int, code: ReasonCode) -> None:
        self._listener.confirmed(Confirmation(self._outgoing.confirmed(packet_id), code.value))

    def _received(self, message: paho.MQTTMessage) -> None:
        try:
            delivery = packing.delivery(message)
        except UnicodeDecodeError:
            LOG.warning("topic_not_utf8", payload_bytes=len(message.payload))
            self._client.ack(message.mid, message.qos)
            return
        if self._listener.received(delivery):
            self._client.ack(message.mid, message.qos)
        else:
            self._has_left_some = True
