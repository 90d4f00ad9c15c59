"""The MQTT side of a bridge that somebody would write: speaks like promptd, keeps no promises.

Text goes out at once for the first token and every 50 ms after it, as promptd does, so that what is compared
is how prompts are computed and not how often something is published.
"""

import json
import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from benchmarks.requester import connected

ASK_TOPIC = "bench/ask/{operation}"
READY_TOPIC = "bench/ready"
COALESCE_S = 0.05


@dataclass(slots=True)
class Asked:
    """A question in hand."""

    text: str
    max_tokens: int
    reply_topic: str
    said: list[str] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)
    sent_s: float = 0.0
    tokens: int = 0


class Doorstep:
    """Takes questions, sends pieces and whole answers."""

    def __init__(self, port: int) -> None:
        self._questions: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        self._client = connected(port, self._hear)
        self._client.subscribe(ASK_TOPIC.format(operation="#"), qos=1)
        self._client.publish(READY_TOPIC, b"1", qos=1, retain=True)

    def _hear(self, _client: Any, _data: object, message: Any) -> None:  # noqa: ANN401 -- a paho callback
        body = json.loads(message.payload)
        self._questions.put(Asked(body["prompt"], body["max_tokens"], message.properties.ResponseTopic))

    def questions(self) -> Iterator[Asked]:
        """Yield one question after the other, for ever."""
        while True:
            yield self._questions.get()

    def waiting(self) -> Iterator[Asked]:
        """Yield the questions that wait now."""
        while not self._questions.empty():
            yield self._questions.get()

    def say(self, asked: Asked, text: str) -> None:
        """Pass on the text of one token."""
        asked.tokens += 1
        asked.unsent.append(text)
        now_s = time.perf_counter()
        if now_s - asked.sent_s >= COALESCE_S and (piece := "".join(asked.unsent)):
            asked.sent_s = now_s
            asked.said.append(piece)
            asked.unsent.clear()
            body = {"object": "chunk", "choices": [{"text": piece}]}
            self._client.publish(asked.reply_topic, json.dumps(body), properties=_event("chunk"))

    def finish(self, asked: Asked, prompt_tokens: int) -> None:
        """Send the whole answer."""
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": asked.tokens}
        body = {"choices": [{"text": "".join(asked.said + asked.unsent)}], "usage": usage}
        self._client.publish(asked.reply_topic, json.dumps(body), qos=1, properties=_event("completed"))


def _event(name: str) -> Properties:
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.UserProperty = [("event", name)]
    return properties  # type: ignore[no-any-return]  # set above
