"""The first stop of a prompt: judged, stored durably, then acknowledged. Runs on the network thread."""

import hashlib
import json
import sqlite3

import structlog

from agent.flow.dispatcher import Dispatcher
from agent.flow.ledger import Ledger
from agent.flow.meter import Meter
from agent.flow.publisher import Publisher
from agent.wire import replies
from agent.wire.envelope import MAX_CORRELATION_BYTES, check_envelope
from agent.wire.errors import Conflict, DeadlineUnreachable, PromptError, UnknownOperation
from agent.wire.packets import Delivery, Publication, Publish
from agent.wire.prompt import Operation, Prompt, ReplyTo
from agent.wire.requests import Door, claimed_id
from agent.wire.topics import ResponseTopicRule

LOG = structlog.get_logger("promptd.intake")

REFUSAL_LIFETIME_S = 600.0


class Intake:
    """Judges every delivery; what it takes survives a power cut."""

    def __init__(
        self,
        *,
        door: Door,
        rule: ResponseTopicRule,
        max_payload_bytes: int,
        ledger: Ledger,
        dispatcher: Dispatcher,
        publisher: Publisher,
        publish: Publish,
        meter: Meter,
    ) -> None:
        self._door = door
        self._rule = rule
        self._max_payload_bytes = max_payload_bytes
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._publisher = publisher
        self._publish = publish
        self._meter = meter

    def receive(self, delivery: Delivery) -> bool:
        """Return True when the delivery may be acknowledged: it is stored, answered, or refused by name."""
        if delivery.retain:
            self._event("refused_retained", {"topic": delivery.topic})
            return True
        if delivery.response_topic is not None and not self._rule.allows(delivery.response_topic):
            self._event("refused_response_topic", {"response_topic": delivery.response_topic[:256]})
            return True
        try:
            self._take(delivery)
        except sqlite3.Error as error:
            LOG.error("ledger_failed", reason=str(error), hint="is the disk full?")  # noqa: TRY400 -- one line
            return False
        return True

    def _take(self, delivery: Delivery) -> None:
        try:
            operation = self._door.topics.operation(delivery.topic)
            check_envelope(delivery, self._max_payload_bytes)
            match operation:
                case "cancel":
                    self._dispatcher.cancel(self._door.cancel(delivery))
                case "chat" | "complete":
                    self._accept(operation, delivery)
                case _:
                    raise UnknownOperation
        except PromptError as error:
            self._refuse(delivery, error)

    def _accept(self, operation: Operation, delivery: Delivery) -> None:
        prompt = self._door.prompt(operation, delivery)
        digest = hashlib.sha256(operation.encode() + b"\0" + delivery.payload).digest()
        match self._ledger.accept(prompt, digest, self._obstacle(prompt)):
            case "new":
                self._meter.count("accepted")
                self._announce(prompt)
                self._dispatcher.wake()
            case "conflict":
                raise Conflict
            case "answered":
                self._meter.count("duplicates")
                self._publisher.wake()
            case "duplicate":
                self._meter.count("duplicates")

    def _obstacle(self, prompt: Prompt) -> PromptError | None:
        """Return why this prompt is not taken, should it be new."""
        if obstacle := self._dispatcher.obstacle():
            return obstacle
        ahead = self._ledger.waiting_before(prompt.priority)
        retry_after_ms = self._dispatcher.outlook().retry_after_ms(prompt, ahead)
        return None if retry_after_ms is None else DeadlineUnreachable(retry_after_ms=retry_after_ms)

    def _announce(self, prompt: Prompt) -> None:
        """Let the requester hear at once that its prompt is in hand (QoS 0: a courtesy, not the answer)."""
        if (prompt.stream or prompt.progress) and prompt.reply_to.topic:
            position = self._ledger.position(prompt)
            forecast = self._dispatcher.outlook().forecast(prompt, position)
            self._publish(
                replies.accepted(
                    prompt,
                    position=position,
                    predicted_start_ms=forecast.start_ms,
                    predicted_finish_ms=forecast.finish_ms,
                )
            )

    def _refuse(self, delivery: Delivery, error: PromptError) -> None:
        prompt_id = claimed_id(delivery.payload)
        topic = delivery.response_topic or self._door.topics.response(prompt_id or "unknown")
        reply_to = ReplyTo(topic, delivery.correlation[:MAX_CORRELATION_BYTES])
        self._meter.failed(error.code)
        LOG.info("prompt_refused", id=prompt_id, code=error.code)
        self._ledger.refuse(replies.failed(prompt_id, reply_to, error), REFUSAL_LIFETIME_S)
        self._publisher.wake()

    def _event(self, kind: str, body: dict[str, str]) -> None:
        self._meter.count(kind)
        LOG.warning(kind, **body)
        self._publish(Publication(self._door.topics.event(kind), json.dumps(body).encode()))
