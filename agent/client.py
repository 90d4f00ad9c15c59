"""The Python client: asks a device over MQTT and repeats the same id until the answer comes.

A repeated request is never run twice; the device sends the stored answer again. That closes the hole of
brokers that lose what they acknowledged.
"""

import json
import queue
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from agent.host import logs
from agent.mqtt.broker import Broker
from agent.mqtt.dialing import Identity
from agent.settings import BrokerSettings, LogSettings
from agent.wire.errors import AgentError
from agent.wire.packets import BrokerLimits, Confirmation, Delivery, Publication
from agent.wire.topics import IDENTIFIER, VERSION, Topics

REPEAT_S, NOTICE_S = 10.0, 3.0
CONNECT_TIMEOUT_S = 10.0
MAX_DELIVERIES = 10_000

Listen = Callable[[str], None]


class AskError(AgentError):
    """The device did not answer, or refused."""


def schema_format(path: Path) -> dict[str, Any]:
    """Return the `response_format` that makes an answer follow the JSON schema in a file.

    Raises:
        AskError: the file cannot be read, or holds no JSON object.
    """
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AskError(f"cannot read the schema {path}: {error.strerror}; give the path of a file") from error
    except ValueError as error:  # no JSON, or no UTF-8
        raise AskError(f"{path} holds no JSON: {error}; write a JSON schema into it") from error
    if not isinstance(schema, dict):
        raise AskError(f'{path} holds no JSON object; a schema looks like {{"type": "object"}}')
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


class Client:
    """A requester of one device, with its own response topic; use it as a context manager."""

    def __init__(self, settings: BrokerSettings, device: str) -> None:
        if not IDENTIFIER.fullmatch(device):
            raise AskError(f"{device!r} is no device id: use letters, digits, '_', '.' and '-'")
        if not structlog.is_configured():  # a library does not write to its user's terminal
            logs.configure(LogSettings(format="console", level="error"))
        name = f"promptd-ask-{uuid.uuid4().hex[:12]}"
        self._settings = settings
        self._device = device
        self._topics = Topics(settings.root, device)
        self._response_topic = f"{settings.root}/{VERSION}/client/{_user(settings) or name}/response/{name}"
        self._deliveries: queue.Queue[Delivery] = queue.Queue(MAX_DELIVERIES)
        self._is_connected = threading.Event()
        self._news = threading.Condition()
        self._reason = "no broker answered"
        # MQTT 3.1.1 has no Response Topic: there the device answers on its own topic.
        answers = self._response_topic if settings.protocol == "5" else self._topics.response("#")
        reports = (self._topics.status, self._topics.health)
        identity = Identity(name, (answers, *reports), keeps_session=False, wants_retained=True)
        self.reports: dict[str, dict[str, Any]] = {}
        """The last report of each kind: `status`, `health`."""
        self._broker = Broker(settings, identity, self)
        self._thread = threading.Thread(target=self._broker.run, name="client", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._is_connected.wait(CONNECT_TIMEOUT_S):
            self._broker.stop()
            where = f"{self._settings.host}:{self._settings.port}"
            raise AskError(f"cannot reach the broker at {where}: {self._reason}; check broker.url")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._broker.stop()
        self._thread.join(2)

    def ask(
        self,
        request: dict[str, Any],
        timeout_s: float,
        on_text: Listen = lambda _: None,
        on_silence: Listen = lambda _: None,
    ) -> dict[str, Any]:
        """Send a `chat` request and return the body of its `completed` answer.

        `on_text` hears the text of the answer once and in order, in pieces if it is streamed; `on_silence`
        how the device is, if it is not ready and says nothing for a while.

        Raises:
            AskError: the device refused, or did not answer within `timeout_s`.
        """
        body = {"id": uuid.uuid4().hex, "timeout_s": timeout_s, **request}
        correlation = uuid.uuid4().bytes
        publication = Publication(
            self._topics.request("chat"),
            json.dumps(body).encode(),
            correlation=correlation,
            response_topic=self._response_topic,
        )
        answer = _Answer(body["id"], correlation, on_text)
        end_s = time.monotonic() + timeout_s
        pause_s = NOTICE_S
        while (left_s := end_s - time.monotonic()) > 0:
            self._broker.publish(publication)
            if (whole := self._hear(answer, min(left_s, pause_s))) is not None:
                return whole
            if pause_s == NOTICE_S and self.reports.get("status", {}).get("state") != "ready":
                on_silence(self._last_words())
            pause_s = REPEAT_S
        raise AskError(f"device {self._device!r} did not answer within {timeout_s:g} s; {self._last_words()}")

    def wait_for(
        self, kind: str, is_wanted: Callable[[dict[str, Any]], bool], timeout_s: float
    ) -> dict[str, Any]:
        """Wait for a `status` or `health` that is wanted, and return it.

        Raises:
            AskError: none came within `timeout_s`.
        """
        with self._news:
            if self._news.wait_for(lambda: kind in self.reports and is_wanted(self.reports[kind]), timeout_s):
                return self.reports[kind]
        raise AskError(
            f"device {self._device!r}: no such {kind} within {timeout_s:g} s; {self._last_words()}"
        )

    def _last_words(self) -> str:
        status = self.reports.get("status")
        if status is None:
            return (
                f"it has never been seen on this broker, or it was revoked, or we may not ask it "
                f"({self._topics.status} is empty)"
            )
        return f"its status is {status['state']} since {status['since']} {status['reason']}".rstrip()

    def _hear(self, answer: "_Answer", timeout_s: float) -> dict[str, Any] | None:
        """Listen until the answer is whole, or nothing came for `timeout_s`."""
        while True:
            try:
                whole = answer.hear(self._deliveries.get(timeout=timeout_s))
            except queue.Empty:
                return None
            if whole is not None:
                return whole

    def connected(self, limits: BrokerLimits, *, session_present: bool) -> None:  # noqa: ARG002 -- a client keeps no session
        """Hear from the broker: there is a link."""
        self._is_connected.set()

    def subscribed(self, refusal: str) -> None:
        """Hear from the broker: whether answers can come."""
        self._reason = refusal or self._reason

    def disconnected(self, reason: str) -> None:
        """Hear from the broker: there is none."""
        self._reason = reason

    def received(self, delivery: Delivery) -> bool:
        """Hear from the broker: a message."""
        kind = delivery.topic.removeprefix(f"{self._topics.prefix}/")
        if kind in ("status", "health"):
            with self._news:
                self.reports[kind] = json.loads(delivery.payload or b"{}")
                self._news.notify_all()
        else:
            self._deliveries.put(delivery)
        return True

    def confirmed(self, confirmation: Confirmation) -> None:
        """Hear from the broker: what became of a publication."""


class _Answer:
    """What has been heard of one answer."""

    def __init__(self, request_id: str, correlation: bytes, on_text: Listen) -> None:
        self._id = request_id
        self._correlation = correlation
        self._on_text = on_text
        self._text = ""
        self._next_sequence = 0

    def hear(self, delivery: Delivery) -> dict[str, Any] | None:
        """Return the body of the `completed` answer; pass chunks on.

        Raises:
            AskError: the device refused.
        """
        body = json.loads(delivery.payload)
        if delivery.correlation not in (b"", self._correlation) or body.get("id") not in (None, self._id):
            return None
        properties = dict(delivery.properties)
        match properties.get("event") or _event_of(body):
            case "completed":
                self._complete(body["choices"][0]["message"]["content"])
                return dict(body)
            case "failed":
                raise AskError(f"{body['error']['code']}: {body['error']['message']}")
            case "chunk" if int(properties.get("sequence", self._next_sequence)) == self._next_sequence:
                self._next_sequence += 1
                self._say(body["choices"][0]["delta"]["content"])
        return None

    def _say(self, text: str) -> None:
        self._text += text
        self._on_text(text)

    def _complete(self, whole: str) -> None:
        """Say what no chunk has brought: chunks travel at QoS 0 and may be lost, the answer is not."""
        if not whole.startswith(self._text):
            self._say("\n")
            self._text = ""
        self._say(whole[len(self._text) :])


def _user(settings: BrokerSettings) -> str:
    """Return who the broker takes us for: its rules let a client hear answers below its own name."""
    if settings.username or not settings.cert_file:
        return settings.username
    from agent.identity import pem  # noqa: PLC0415 -- costs 10 MB, and only who shows a certificate needs it

    try:
        return pem.leaf(settings.cert_file.read_bytes()).name
    except (OSError, ValueError) as error:
        raise AskError(f"cannot read {settings.cert_file}: {error}; check broker.cert_file") from error


def _event_of(body: dict[str, Any]) -> str:
    """Tell the event by its body: MQTT 3.1.1 has no user properties."""
    if "error" in body:
        return "failed"
    return {"chat.completion": "completed", "chat.completion.chunk": "chunk"}.get(
        body.get("object", ""), "accepted"
    )
