"""The door: a delivery becomes a `Prompt` or `Cancel`, or a named refusal. Nothing else decodes requests."""

import codecs
import json
import uuid
from dataclasses import dataclass

from agent.wire.bodies import (
    MAX_TIMEOUT_S,
    CancelBody,
    ChatBody,
    CompleteBody,
    MessageBody,
    ResponseFormat,
    decode,
    text_fault,
)
from agent.wire.envelope import content_kind
from agent.wire.errors import (
    SHOWN_CHARACTERS,
    InvalidField,
    InvalidJson,
    ModelNotFound,
    UnsupportedSchema,
)
from agent.wire.grammar import ANY_OBJECT, regex_grammar, schema_grammar
from agent.wire.packets import Delivery
from agent.wire.prompt import (
    Cancel,
    Grammar,
    Message,
    Operation,
    Prompt,
    ReplyTo,
    Sampling,
    request_key,
)
from agent.wire.topics import IDENTIFIER, Topics


@dataclass(frozen=True, slots=True)
class Door:
    """What this device adds to a request that leaves something out."""

    topics: Topics
    model: str
    default_timeout_s: float

    def prompt(self, operation: Operation, delivery: Delivery) -> Prompt:
        """Decode a `chat` or `complete` request; the earlier of `timeout_s` and the message expiry holds.

        Raises:
            PromptError: the payload is refused; the code says why.
        """
        request = _prompt_request(operation, delivery)
        if request.model is not None and request.model != self.model:
            asked = request.model[:SHOWN_CHARACTERS]
            raise ModelNotFound(
                f"{asked!r} does not run here; this device runs {self.model!r}", param="model"
            )
        prompt_id = request.id or uuid.uuid4().hex
        wanted_s = (request.timeout_s, delivery.expiry_s)
        timeouts_s = [min(t, MAX_TIMEOUT_S) for t in wanted_s if t is not None]
        return Prompt(
            id=prompt_id,
            operation=operation,
            reply_to=ReplyTo(
                delivery.response_topic or self.topics.response(prompt_id), delivery.correlation
            ),
            messages=_messages(request),
            text=request.prompt if isinstance(request, CompleteBody) else "",
            max_tokens=request.max_tokens,
            sampling=_sampling(request),
            stop=tuple(request.stop),
            grammar=_grammar(request.response_format) if request.response_format else None,
            deterministic=request.deterministic,
            stream=request.stream,
            progress=request.progress,
            timeout_s=min(timeouts_s, default=self.default_timeout_s),
            priority=request.priority,
        )

    def key(self, delivery: Delivery) -> bytes:
        """Return the key of a request that may be refused; one that names nothing is like no other."""
        prompt_id = claimed_id(delivery.payload) or uuid.uuid4().hex
        topic = delivery.response_topic or self.topics.response(prompt_id)
        return request_key(ReplyTo(topic, delivery.correlation), prompt_id)

    def cancel(self, delivery: Delivery) -> Cancel:
        """Decode a `cancel` request.

        Raises:
            PromptError: the payload is refused, or names no prompt.
        """
        request = decode(CancelBody, delivery.payload) if delivery.payload.strip() else CancelBody()
        if request.id is None and not (delivery.response_topic and delivery.correlation):
            raise InvalidField(
                "name the prompt by id, or by its Response Topic and Correlation Data", param="id"
            )
        return Cancel(request.id, ReplyTo(delivery.response_topic or "", delivery.correlation))


def claimed_id(payload: bytes) -> str | None:
    """Return the id of a refused payload, if it can be read, so that the refusal reaches its requester."""
    try:
        claimed = json.loads(payload)["id"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return claimed if isinstance(claimed, str) and IDENTIFIER.fullmatch(claimed) else None


def _prompt_request(operation: Operation, delivery: Delivery) -> ChatBody | CompleteBody:
    kind = content_kind(delivery.content_type)
    if kind == "text/plain" or (not kind and not _looks_like_json(delivery.payload)):
        text = _plain_text(delivery.payload)
        message = MessageBody(role="user", content=text)
        return ChatBody(messages=[message]) if operation == "chat" else CompleteBody(prompt=text)
    if operation == "chat":
        return decode(ChatBody, delivery.payload)
    return decode(CompleteBody, delivery.payload)


def _looks_like_json(payload: bytes) -> bool:
    """Tell JSON from plain text; a byte order mark before it is then refused by name, not computed."""
    return payload.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")


def _messages(request: ChatBody | CompleteBody) -> tuple[Message, ...]:
    if isinstance(request, CompleteBody):
        return ()
    return tuple(Message(body.role, body.content) for body in request.messages)


def _sampling(request: ChatBody | CompleteBody) -> Sampling:
    return Sampling(
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        seed=request.seed,
        min_p=request.min_p,
        repetition_penalty=request.repetition_penalty,
    )


def _grammar(wanted: ResponseFormat) -> Grammar | None:
    """Return what the answer must look like; None for free text."""
    if wanted.type not in ("text", "json_object", "json_schema", "regex"):
        asked = wanted.type[:SHOWN_CHARACTERS]
        raise UnsupportedSchema(
            f"response_format of type {asked!r} is unknown: use text, json_object, json_schema, regex",
            param="response_format.type",
        )
    for field in ("json_schema", "regex"):
        is_given = getattr(wanted, field) is not None
        if is_given != (wanted.type == field):
            advice = "takes no" if is_given else "needs the"
            raise InvalidField(
                f"response_format of type {wanted.type!r} {advice} field {field!r}",
                param=f"response_format.{field}",
            )
    if wanted.json_schema is not None:
        return schema_grammar(wanted.json_schema.content, "response_format.json_schema.schema")
    if wanted.regex is not None:
        return regex_grammar(wanted.regex, "response_format.regex")
    return ANY_OBJECT if wanted.type == "json_object" else None


def _plain_text(payload: bytes) -> str:
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidJson(
            f"the prompt is not UTF-8 text: byte {error.start} is {payload[error.start]:#04x}"
        ) from error
    if fault := text_fault(text):
        raise InvalidField(f"the prompt {fault}", param="payload")
    return text
