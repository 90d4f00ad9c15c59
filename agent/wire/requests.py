"""The door: a delivery becomes a `Prompt` or `Cancel`, or a named refusal. Nothing else decodes requests."""

import codecs
import json
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from agent.wire.errors import (
    InvalidField,
    InvalidJson,
    ModelNotFound,
    UnsupportedContentType,
    UnsupportedSchema,
)
from agent.wire.packets import Delivery
from agent.wire.prompt import Cancel, Message, Operation, Priority, Prompt, ReplyTo, Role, Sampling
from agent.wire.topics import IDENTIFIER, Topics

MAX_TOKENS = 1 << 20
MAX_MESSAGES = 256
MAX_STOPS = 16


def _with_words(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "must hold more than white space")
    return text


Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER.pattern)]
Stop = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Text = Annotated[str, AfterValidator(_with_words)]


class _Request(BaseModel):
    """Strict: `"10"` is no number and `true` is no number; unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class MessageBody(_Request):
    """One turn of a chat."""

    role: Role
    content: Text


class ResponseFormat(_Request):
    """OpenAI's `response_format`; only free text can be promised so far."""

    type: str
    json_schema: dict[str, Any] | None = None


class _PromptRequest(_Request):
    id: Identifier | None = None
    model: str | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    temperature: float = Field(default=0.0, ge=0, le=10)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0, le=MAX_TOKENS)
    seed: int | None = Field(default=None, ge=0, lt=1 << 63)
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] = Field(default_factory=list)
    stream: bool = False
    response_format: ResponseFormat | None = None
    timeout_s: float | None = Field(default=None, gt=0, le=604_800)
    priority: Priority = "normal"
    progress: bool = False


class ChatRequest(_PromptRequest):
    """Payload of `request/chat`."""

    messages: list[MessageBody] = Field(min_length=1, max_length=MAX_MESSAGES)


class CompleteRequest(_PromptRequest):
    """Payload of `request/complete`."""

    prompt: Text


class CancelRequest(_Request):
    """Payload of `request/cancel`; empty when Response Topic and Correlation Data name the prompt."""

    id: Identifier | None = None


AnyRequest = TypeVar("AnyRequest", bound=_Request)


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
        if request.model not in (None, self.model):
            raise ModelNotFound(
                f"{request.model!r} does not run here; this device runs {self.model!r}", param="model"
            )
        if request.response_format is not None and request.response_format.type != "text":
            raise UnsupportedSchema(param="response_format")
        prompt_id = request.id or uuid.uuid4().hex
        timeouts_s = [t for t in (request.timeout_s, delivery.expiry_s) if t is not None]
        return Prompt(
            id=prompt_id,
            operation=operation,
            reply_to=ReplyTo(
                delivery.response_topic or self.topics.response(prompt_id), delivery.correlation
            ),
            messages=_messages(request),
            text=request.prompt if isinstance(request, CompleteRequest) else "",
            max_tokens=request.max_tokens,
            sampling=Sampling(request.temperature, request.top_p, request.top_k, request.seed),
            stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop),
            stream=request.stream,
            progress=request.progress,
            timeout_s=min(timeouts_s, default=self.default_timeout_s),
            priority=request.priority,
        )

    def cancel(self, delivery: Delivery) -> Cancel:
        """Decode a `cancel` request.

        Raises:
            PromptError: the payload is refused, or names no prompt.
        """
        request = _decode(CancelRequest, delivery.payload) if delivery.payload.strip() else CancelRequest()
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


def _prompt_request(operation: Operation, delivery: Delivery) -> ChatRequest | CompleteRequest:
    kind = (delivery.content_type or "").split(";")[0].strip().lower()
    if kind not in ("", "text/plain", "application/json"):
        raise UnsupportedContentType(
            f"content type {kind!r} is not understood; use application/json or text/plain"
        )
    if kind == "text/plain" or (not kind and not _looks_like_json(delivery.payload)):
        text = _plain_text(delivery.payload)
        message = MessageBody(role="user", content=text)
        return ChatRequest(messages=[message]) if operation == "chat" else CompleteRequest(prompt=text)
    if operation == "chat":
        return _decode(ChatRequest, delivery.payload)
    return _decode(CompleteRequest, delivery.payload)


def _looks_like_json(payload: bytes) -> bool:
    """Tell JSON from plain text; a byte order mark before it is then refused by name, not computed."""
    return payload.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")


def _messages(request: ChatRequest | CompleteRequest) -> tuple[Message, ...]:
    if isinstance(request, CompleteRequest):
        return ()
    return tuple(Message(body.role, body.content) for body in request.messages)


def _plain_text(payload: bytes) -> str:
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidJson(
            f"the prompt is not UTF-8 text: byte {error.start} is {payload[error.start]:#04x}"
        ) from error
    if not text.strip() or "\0" in text:
        raise InvalidField("the prompt is empty or holds a NUL character; send some text", param="payload")
    return text


def _decode(model: type[AnyRequest], payload: bytes) -> AnyRequest:
    try:
        request = model.model_validate_json(payload)
        json.loads(payload, object_pairs_hook=_refuse_repeated_keys)
        return request  # noqa: TRY300 -- an `else` would stand behind the long handling of the error
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
    param = ".".join(str(level) for level in detail["loc"])
    if detail["type"] == "json_invalid":
        raise InvalidJson(f"the payload is not valid JSON: {detail['ctx']['error']}")
    if not param:
        raise InvalidJson("the payload must be a JSON object")
    if detail["type"] == "extra_forbidden":
        raise InvalidField(f"unknown field {param!r}; remove it", param=param)
    raise InvalidField(f"{param}: {detail['msg']}", param=param)


def _refuse_repeated_keys(pairs: list[tuple[str, object]]) -> None:
    """Of two equal keys JSON readers take one or the other: nobody could tell what was asked."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise InvalidField(f"field {key!r} stands there twice; send it once", param=key)
        seen.add(key)
