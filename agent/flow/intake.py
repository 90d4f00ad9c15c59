"""The first stop of a prompt: judged, stored durably, then acknowledged. Runs on the network thread."""

import hashlib
from dataclasses import dataclass

import structlog

from agent.flow.dispatcher import Dispatcher
from agent.flow.ledger import Ledger
from agent.flow.meter import Meter
from agent.flow.publisher import Publisher
from agent.flow.rate import Rate
from agent.flow.storage import DiskShortError
from agent.wire import replies
from agent.wire.envelope import MAX_CORRELATION_BYTES, check_envelope
from agent.wire.errors import Conflict, DeadlineUnreachable, PromptError, RateLimited, UnknownOperation
from agent.wire.events import event
from agent.wire.packets import Delivery, Publish
from agent.wire.prompt import Operation, Prompt, ReplyTo
from agent.wire.requests import Door, claimed_id
from agent.wire.topics import ResponseTopicRule

LOG = structlog.get_logger("promptd.intake")

REFUSAL_LIFETIME_S = 600.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What requests must keep to, whatever they ask."""

    response_topics: ResponseTopicRule
    max_payload_bytes: int
    rate: Rate


class Intake:
    """Judges every delivery; what it takes survives a power cut."""

    def __init__(
        self,
        *,
        door: Door,
        terms: Terms,
        ledger: Ledger,
        dispatcher: Dispatcher,
        publisher: Publisher,
        publish: Publish,
        meter: Meter,
    ) -> None:
        self._door = door
        self._terms = terms
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._publisher = publisher
        self._publish = publish
        self._meter = meter

    def receive(self, delivery: Delivery) -> bool:
        """Return True when the delivery may be acknowledged: it is stored, answered, or refused by name.

        Raises:
            sqlite3.Error: the ledger is damaged; a new life of this process will set it aside.
        """
        if delivery.retain:
            self._event("refused_retained", {"topic": delivery.topic})
            return True
        if delivery.response_topic is not None and not self._terms.response_topics.allows(
            delivery.response_topic
        ):
            self._event("refused_response_topic", {"response_topic": delivery.response_topic[:256]})
            return True
        try:
            self._take(delivery)
        except DiskShortError:
            return False
        return True

    def _take(self, delivery: Delivery) -> None:
        try:
            operation = self._door.topics.operation(delivery.topic)
            check_envelope(delivery, self._terms.max_payload_bytes)
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
        digest = hashlib.sha256(operation.encode() + b"\0" + delivery.payload).digest()
        try:
            prompt = self._door.prompt(operation, delivery)
        except PromptError:
            if self._ledger.recognise(self._door.key(delivery), digest) not in ("answered", "duplicate"):
                raise
            self._repeat()
            return
        match self._ledger.accept(prompt, digest, self._obstacle(prompt)):
            case "new":
                self._terms.rate.take(_requester(prompt))
                self._meter.count("accepted")
                self._announce(prompt)
                self._dispatcher.wake()
            case "conflict":
                raise Conflict
            case "answered" | "duplicate":
                self._repeat()

    def _repeat(self) -> None:
        """Count a request that is known, and let its answer go out again if it has one."""
        self._meter.count("duplicates")
        self._publisher.wake()

    def _obstacle(self, prompt: Prompt) -> PromptError | None:
        """Return why this prompt is not taken, should it be new."""
        if obstacle := self._dispatcher.obstacle():
            return obstacle
        if wait_ms := self._terms.rate.wait_ms(_requester(prompt)):
            return RateLimited(retry_after_ms=wait_ms)
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
        self._publish(event(self._door.topics, kind, body))


def _requester(prompt: Prompt) -> str:
    """Return whose prompt it is: the answers to one requester go below one `response` level."""
    return prompt.reply_to.topic.partition("/response/")[0]
