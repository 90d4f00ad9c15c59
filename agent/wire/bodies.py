"""The JSON bodies of requests: strict, bounded, and refused by the name of the field that is wrong."""

import difflib
import re
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from agent.wire.errors import InvalidField
from agent.wire.faults import sentence
from agent.wire.json_text import MAX_ITEMS, read_object, refuse_repeated_keys
from agent.wire.prompt import Priority, Role
from agent.wire.topics import IDENTIFIER

FIELD = re.compile(r"^[A-Za-z0-9_ ]+$")
"""Levels of a location that stand in the payload; pydantic may add branches of unions."""
MAX_TOKENS = 1 << 20
MAX_MESSAGES = MAX_ITEMS
MAX_STOPS = 16
MAX_STOP_CHARACTERS = 256
MAX_TIMEOUT_S = 604_800
"""A week, as long as answers are kept."""


def text_fault(text: str) -> str:
    """Return why a text cannot be a prompt; empty when it can."""
    if not text.strip():
        return "must hold more than white space"
    if "\0" in text:
        return "must not hold a NUL character, where native code would cut it off"
    return ""


def _prompt_text(text: str) -> str:
    if fault := text_fault(text):
        raise PydanticCustomError("no_prompt", "{fault}", {"fault": fault})
    return text


def _one_or_many(value: object) -> object:
    if not isinstance(value, str | list):
        raise PydanticCustomError("no_stop", "must be a string or a list of strings")
    return [value] if isinstance(value, str) else value


Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER.pattern)]
Stop = Annotated[str, StringConstraints(min_length=1, max_length=MAX_STOP_CHARACTERS)]
Stops = Annotated[list[Stop], BeforeValidator(_one_or_many), Field(max_length=MAX_STOPS)]
Text = Annotated[str, AfterValidator(_prompt_text)]


class _Body(BaseModel):
    """Strict: `"10"` is no number and `true` is no number; unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class MessageBody(_Body):
    """One turn of a chat."""

    role: Role
    content: Text


class JsonSchema(_Body):
    """OpenAI's `json_schema`: only the schema counts; it is always enforced, whatever `strict` says."""

    name: str | None = Field(default=None, max_length=64)
    description: str | None = None
    # The name `schema` belongs to pydantic.
    content: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(_Body):
    """OpenAI's `response_format`, and `regex`, which OpenAI does not have."""

    type: str
    json_schema: JsonSchema | None = None
    regex: str | None = Field(default=None, min_length=1)


class _PromptBody(_Body):
    id: Identifier | None = None
    model: str | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    temperature: float = Field(default=0.0, ge=0, le=10)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0, le=MAX_TOKENS)
    min_p: float = Field(default=0.0, ge=0, le=1)
    repetition_penalty: float = Field(default=1.0, ge=0.1, le=10)
    seed: int | None = Field(default=None, ge=0, lt=1 << 63)
    deterministic: bool = False
    stop: Stops = Field(default_factory=list)
    stream: bool = False
    response_format: ResponseFormat | None = None
    timeout_s: float | None = Field(default=None, gt=0, le=MAX_TIMEOUT_S)
    priority: Priority = "normal"
    progress: bool = False


class ChatBody(_PromptBody):
    """Payload of `request/chat`."""

    messages: Annotated[list[MessageBody], FailFast(), Field(min_length=1, max_length=MAX_MESSAGES)]


class CompleteBody(_PromptBody):
    """Payload of `request/complete`."""

    prompt: Text


class CancelBody(_Body):
    """Payload of `request/cancel`; empty when Response Topic and Correlation Data name the prompt."""

    id: Identifier | None = None


AnyBody = TypeVar("AnyBody", bound=_Body)


def decode(model: type[AnyBody], payload: bytes) -> AnyBody:
    """Decode a JSON payload, strictly.

    Raises:
        InvalidJson: it is no JSON object.
        InvalidField: a field is unknown, missing, repeated or out of range.
    """
    content = read_object(payload)
    try:
        request = model.model_validate(content)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        raise _refusal(model, detail) from error
    refuse_repeated_keys(payload)
    return request


def _refusal(model: type[_Body], detail: ErrorDetails) -> InvalidField:
    """Return the error for a field; its location leads to it, perhaps through branches of unions."""
    levels = [str(level) for level in detail["loc"]]
    names = [level for level in levels[:-1] if FIELD.match(level)]
    if detail["type"] != "extra_forbidden":
        param = ".".join([*names, *(level for level in levels[-1:] if FIELD.match(level))])
        return InvalidField(f"{param}: {sentence(detail)}", param=param)
    param = ".".join([*names, levels[-1]])
    near = [] if names else difflib.get_close_matches(param, model.model_fields, n=1, cutoff=0.6)
    return InvalidField(
        f"unknown field {param!r}; " + (f"did you mean {near[0]!r}?" if near else "remove it"), param=param
    )
