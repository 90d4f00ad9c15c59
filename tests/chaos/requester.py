"""A requester that keeps the published contract: it repeats a request until it is answered, and counts."""

import json
import math
import ssl
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from rig.box import TOPICS, chat

from chaos.tally import Tally

REPEAT_S = 3.0
TICK_S = 0.02
PATIENCE_S = 60.0
TRY_LATER = ("429", "503")
"""Statuses that say: the same request again, later. They end nothing and are not remembered by the device."""


@dataclass(slots=True)
class Question:
    """One request, and everything that was heard of it. Times are of the monotonic clock."""

    text: str
    payload: bytes
    correlation: bytes = field(default_factory=lambda: uuid.uuid4().bytes)
    sendings: int = 0
    due_s: float = 0.0
    """When it is sent (again)."""
    answers: list[bytes] = field(default_factory=list)
    """The bytes of every ending, in order."""


class Requester:
    """Has its own response topic, and a session that the broker keeps; use as a context manager."""

    def __init__(
        self,
        port: int,
        *,
        repeat_s: float = REPEAT_S,
        is_echo: bool = True,
        name: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take `name` where the broker's rules know a client by it."""
        self._repeat_s = repeat_s
        self._is_echo = is_echo
        self._name = name or f"chaos-{uuid.uuid4().hex[:8]}"
        self._questions: dict[bytes, Question] = {}
        self._open: dict[bytes, Question] = {}
        self._window = 0
        self._news = threading.Condition()
        self._closing = threading.Event()
        self.states: list[tuple[float, str]] = []
        """Every status the device told, with the moment it was heard."""
        self.longest_silence_s = 0.0
        """Between two answers, since requests are kept open."""
        self._answered_s = math.inf
        self._client = self._build(port, tls)
        self._pacer = threading.Thread(target=self._pace, name="pacer", daemon=True)

    def __enter__(self) -> Self:
        self._client.loop_start()
        self._pacer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._pacer.join()
        self._client.disconnect()
        self._client.loop_stop()

    def ask(self, text: str, **fields: Any) -> Question:  # noqa: ANN401 -- JSON
        """Begin to ask; an answer may come at any time from now on."""
        question = Question(text, json.dumps(chat(text, **fields)).encode())
        with self._news:
            self._questions[question.correlation] = self._open[question.correlation] = question
            self._news.notify_all()
        return question

    def keep_asking(self, window: int) -> None:
        """Keep so many requests open at any time; 0 begins no new one."""
        with self._news:
            self._window = window
            if window:
                self._answered_s, self.longest_silence_s = time.monotonic(), 0.0

    def wait_for(self, question: Question, timeout_s: float = PATIENCE_S) -> bool:
        """Wait for the answer; tell whether it came."""
        with self._news:
            return self._news.wait_for(lambda: bool(question.answers), timeout_s)

    def probe(self, timeout_s: float = PATIENCE_S) -> float:
        """Ask once and return after how many seconds the answer came; infinity if it did not."""
        began_s = time.monotonic()
        question = self.ask(f"are you there? {uuid.uuid4().hex}")
        return time.monotonic() - began_s if self.wait_for(question, timeout_s) else math.inf

    def wait_for_state(self, state: str, since_s: float, timeout_s: float = PATIENCE_S) -> float:
        """Return how long after `since_s` the device told this state; infinity if it did not."""

        def heard_s() -> float:
            return next((at_s for at_s, told in self.states if told == state and at_s >= since_s), math.inf)

        with self._news:
            self._news.wait_for(lambda: math.isfinite(heard_s()), timeout_s)
            return heard_s() - since_s

    def settle(self, timeout_s: float = PATIENCE_S) -> Tally:
        """Ask nothing new, wait until nothing is open, and count; what is open then is lost."""
        self.keep_asking(0)
        with self._news:
            self._news.wait_for(lambda: not self._open, timeout_s)
            return self._count()

    def _count(self) -> Tally:
        asked = list(self._questions.values())
        heard = [question for question in asked if question.answers]
        outcomes = [self._outcome(question) for question in heard]
        return Tally(
            expected=len(asked),
            answered=len(heard),
            different=sum(len(set(question.answers)) > 1 for question in heard),
            wrong=outcomes.count("wrong"),
            duplicates=sum(len(question.answers) - 1 for question in heard),
            repeats=sum(max(0, question.sendings - 1) for question in asked),
            outcomes=Counter(outcome for outcome in outcomes if outcome != "wrong"),
        )

    def _outcome(self, question: Question) -> str:
        body = json.loads(question.answers[0])
        if "error" in body:
            return str(body["error"]["code"])
        is_right = not self._is_echo or body["choices"][0]["message"]["content"] == question.text
        return "completed" if is_right else "wrong"

    def _pace(self) -> None:
        """Send what is due; the body of the pacer thread."""
        while not self._closing.is_set():
            with self._news:
                self._news.wait(TICK_S)
                missing = self._window - len(self._open)
                due = [one for one in self._open.values() if one.due_s <= time.monotonic()]
            due += [self.ask(uuid.uuid4().hex) for _ in range(missing)]
            if self._client.is_connected():
                for question in due:
                    self._send(question)

    def _send(self, question: Question) -> None:
        question.due_s = time.monotonic() + self._repeat_s
        question.sendings += 1
        properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.ResponseTopic = f"promptd/v1/client/{self._name}/response/all"
        properties.CorrelationData = question.correlation
        self._client.publish(TOPICS.request("chat"), question.payload, 1, properties=properties)

    def _build(self, port: int, tls: ssl.SSLContext | None) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, client_id=self._name, protocol=MQTTv5)
        if tls:
            client.tls_set_context(tls)
        client.on_connect = lambda *_: self._begin_link()
        client.on_message = lambda _client, _data, message: self._hear(message)
        client.reconnect_delay_set(1, 1)
        session: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        session.SessionExpiryInterval = 3600
        client.connect("127.0.0.1", port, clean_start=False, properties=session)
        return client

    def _begin_link(self) -> None:
        """Subscribe, and repeat at once what is open: nobody knows what the broker has forgotten."""
        self._client.subscribe([(f"promptd/v1/client/{self._name}/response/#", 1), (TOPICS.status, 1)])
        with self._news:
            for question in self._open.values():
                question.due_s = 0.0
            self._news.notify_all()

    def _hear(self, message: MQTTMessage) -> None:
        with self._news:
            if message.topic == TOPICS.status:
                self.states.append((time.monotonic(), json.loads(message.payload)["state"]))
            else:
                self._hear_answer(message)
            self._news.notify_all()

    def _hear_answer(self, message: MQTTMessage) -> None:
        given = message.properties
        said = dict(getattr(given, "UserProperty", ()))
        question = self._questions.get(getattr(given, "CorrelationData", b""))
        if question is None or said.get("event") not in ("completed", "failed"):
            return
        if said.get("status") in TRY_LATER:
            wait_ms = json.loads(message.payload)["error"]["retry_after_ms"] or 0
            question.due_s = time.monotonic() + min(wait_ms / 1000, self._repeat_s)
        else:
            question.answers.append(bytes(message.payload))
            now_s = time.monotonic()
            self.longest_silence_s = max(self.longest_silence_s, now_s - self._answered_s)
            self._answered_s = now_s
            self._open.pop(question.correlation, None)
