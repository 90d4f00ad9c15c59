"""The answers: bodies with OpenAI's names, and the user properties around them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from agent.wire.errors import PromptError
from agent.wire.packets import Publication
from agent.wire.prompt import Operation, Prompt, ReplyTo

FinishReason = Literal["stop", "length"]

OBJECTS: Mapping[Operation, tuple[str, str]] = {
    "chat": ("chat.completion", "chat.completion.chunk"),
    "complete": ("text_completion", "text_completion"),
}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one prompt."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    """Prompt tokens that were not computed, because an earlier prompt began with them."""
    accepted_tokens: int = 0
    """Answer tokens that were guessed, and were right."""
    rejected_tokens: int = 0

    def body(self) -> dict[str, Any]:
        """Return OpenAI's `usage` object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
            "completion_tokens_details": {
                "accepted_prediction_tokens": self.accepted_tokens,
                "rejected_prediction_tokens": self.rejected_tokens,
            },
        }


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one prompt went."""

    queue_ms: float
    prompt_ms: float
    first_token_ms: float
    """From the receipt of the prompt to its first token."""
    decode_ms: float
    decode_tokens_per_s: float | None
    """None for an answer of one token."""


@dataclass(frozen=True, slots=True)
class EngineBadge:
    """Which weights wrote the answer."""

    variant: str
    model: str
    model_sha256: str


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer."""

    text: str
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    engine: EngineBadge


def accepted(
    prompt: Prompt, *, position: int, predicted_start_ms: int | None, predicted_finish_ms: int | None
) -> Publication:
    """Tell the requester that its prompt is in hand; `position` 0 means that it is next."""
    queue = {
        "position": position,
        "predicted_start_ms": predicted_start_ms,
        "predicted_finish_ms": predicted_finish_ms,
    }
    return _reply(prompt.reply_to, {"id": prompt.id, "queue": queue}, "accepted", 202, qos=0)


def chunk(prompt: Prompt, text: str, sequence: int, badge: EngineBadge, created_s: int) -> Publication:
    """Return one piece of a streamed answer, numbered from 0."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": None}
    role = {} if sequence else {"role": "assistant"}  # OpenAI names it once, in the first chunk
    choice |= {"delta": {**role, "content": text}} if prompt.operation == "chat" else {"text": text}
    body = _head(prompt, OBJECTS[prompt.operation][1], badge, created_s) | {"choices": [choice]}
    publication = _reply(prompt.reply_to, body, "chunk", 200, qos=0)
    return replace(publication, properties=(*publication.properties, ("sequence", str(sequence))))


def completed(prompt: Prompt, answer: Completion, created_s: int) -> Publication:
    """Return the one ending of a prompt that was answered."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": answer.finish_reason}
    if prompt.operation == "chat":
        choice |= {"message": {"role": "assistant", "content": answer.text}}
    else:
        choice |= {"text": answer.text}
    body = _head(prompt, OBJECTS[prompt.operation][0], answer.engine, created_s)
    body |= {"choices": [choice], "usage": answer.usage.body(), "timings": asdict(answer.timings)}
    body |= {"engine": {"variant": answer.engine.variant, "model_sha256": answer.engine.model_sha256}}
    return _reply(prompt.reply_to, body, "completed", 200)


def failed(prompt_id: str | None, reply_to: ReplyTo, error: PromptError) -> Publication:
    """Return the one ending of a prompt that was not answered."""
    detail = {
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "retry_after_ms": error.retry_after_ms,
    }
    return _reply(reply_to, {"id": prompt_id, "error": detail}, "failed", error.status)


def instead(answer: Publication, error: PromptError) -> Publication:
    """Return the ending that takes the place of an answer which cannot be sent."""
    prompt_id = json.loads(answer.payload).get("id")
    return failed(prompt_id, ReplyTo(answer.topic, answer.correlation), error)


def _head(prompt: Prompt, kind: str, badge: EngineBadge, created_s: int) -> dict[str, Any]:
    return {"id": prompt.id, "object": kind, "created": created_s, "model": badge.model}


def _reply(reply_to: ReplyTo, body: Mapping[str, Any], event: str, status: int, qos: int = 1) -> Publication:
    return Publication(
        topic=reply_to.topic,
        payload=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"),
        qos=qos,
        correlation=reply_to.correlation,
        properties=(("event", event), ("status", str(status))),
    )
