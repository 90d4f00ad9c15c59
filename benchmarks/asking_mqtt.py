"""Asks over MQTT, many at once: promptd itself, and the bridges that speak as it does."""

import itertools
import json
import queue
import threading
import time
from types import TracebackType
from typing import Any, Self

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from benchmarks.answer import Answer, PeerError, Question
from benchmarks.requester import connected

ANSWER_TIMEOUT_S = 1200.0
RESPONSES = "promptd/v1/client/bench/response"

Heard = tuple[float, str, bytes]
"""When, which event, and the body."""


class MqttAsker:
    """One connection for all questions; answers find their way by their response topic."""

    def __init__(self, port: int, topic: str) -> None:
        self._topic = topic
        """With `{operation}` where `chat` or `complete` stands."""
        self._numbers = itertools.count()
        self._waiting: dict[str, queue.SimpleQueue[Heard]] = {}
        self._subscribed = threading.Event()
        self._client = connected(port, self._hear)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.subscribe(f"{RESPONSES}/#", qos=1)
        if not self._subscribed.wait(10):
            raise PeerError("the broker does not confirm the subscription")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, _client: Any, _data: object, message: Any) -> None:  # noqa: ANN401 -- a paho callback
        event = dict(getattr(message.properties, "UserProperty", ())).get("event", "completed")
        if heard := self._waiting.get(message.topic):
            heard.put((time.perf_counter(), event, message.payload))

    def ask(self, question: Question) -> Answer:
        """Publish, and hear everything up to `completed` or `failed`."""
        topic = f"{RESPONSES}/{next(self._numbers)}"
        heard = self._waiting[topic] = queue.SimpleQueue()
        properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.ResponseTopic = topic
        properties.CorrelationData = topic.encode()
        properties.ContentType = "application/json"
        body, operation = json.dumps(_body(question)), "chat" if question.is_chat else "complete"
        sent_s, first_s = time.perf_counter(), 0.0
        self._client.publish(self._topic.format(operation=operation), body, qos=1, properties=properties)
        while True:
            at_s, event, payload = heard.get(timeout=ANSWER_TIMEOUT_S)
            first_s = first_s or (at_s if event in ("chunk", "completed") else 0.0)
            if event == "completed":
                del self._waiting[topic]
                return _answer(sent_s, first_s, at_s, payload)
            if event == "failed":
                raise PeerError(f"refused: {payload.decode()}")


def _body(question: Question) -> dict[str, Any]:
    body: dict[str, Any] = {"max_tokens": question.max_tokens, "stream": True, "timeout_s": ANSWER_TIMEOUT_S}
    if question.is_chat:
        body["messages"] = [{"role": "user", "content": question.text}]
    else:
        body["prompt"] = question.text
    if question.schema is not None:
        schema = {"name": "answer", "schema": question.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _answer(sent_s: float, first_s: float, ended_s: float, payload: bytes) -> Answer:
    whole = json.loads(payload)
    choice, usage = whole["choices"][0], whole["usage"]
    text = choice["message"]["content"] if "message" in choice else choice["text"]
    return Answer(sent_s, first_s, ended_s, usage["prompt_tokens"], usage["completion_tokens"], text)
