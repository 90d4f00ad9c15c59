"""The JSON bodies of requests: strict, bounded, and refused by the name of the field that is wrong."""

import difflib
import json
import re
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from agent.wire.errors import InvalidField, InvalidJson
from agent.wire.prompt import Priority, Role
from agent.wire.topics import IDENTIFIER

FIELD = re.compile(r"^[A-Za-z0-9_ ]+$")
"""Levels of a location that stand in the payload; pydantic adds branches of unions, as `list[str]`."""
MAX_TOKENS = 1 << 20
MAX_MESSAGES = 256
MAX_STOPS = 16


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


Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER.pattern)]
Stop = Annotated[str, StringConstraints(min_length=1, max_length=256)]
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
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] = Field(default_factory=list)
    stream: bool = False
    response_format: ResponseFormat | None = None
    timeout_s: float | None = Field(default=None, gt=0, le=604_800)
    priority: Priority = "normal"
    progress: bool = False


class ChatBody(_PromptBody):
    """Payload of `request/chat`."""

    messages: list[MessageBody] = Field(min_length=1, max_length=MAX_MESSAGES)


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
    try:
        request = model.model_validate_json(payload)
        json.loads(payload, object_pairs_hook=_refuse_repeated_keys)
        return request  # noqa: TRY300 -- an `else` would stand behind the long handling of the error
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
    param = ".".join(str(level) for level in detail["loc"] if FIELD.match(str(level)))
    if detail["type"] == "json_invalid":
        raise InvalidJson(f"the payload is not valid JSON: {detail['ctx']['error']}")
    if not param:
        raise InvalidJson("the payload must be a JSON object")
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(param, model.model_fields, n=1, cutoff=0.6)
        raise InvalidField(
            f"unknown field {param!r}; " + (f"did you mean {near[0]!r}?" if near else "remove it"),
            param=param,
        )
    raise InvalidField(f"{param}: {detail['msg']}", param=param)


def _refuse_repeated_keys(pairs: list[tuple[str, object]]) -> None:
    """Of two equal keys JSON readers take one or the other: nobody could tell what was asked."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise InvalidField(f"field {key!r} stands there twice; send it once", param=key)
        seen.add(key)
