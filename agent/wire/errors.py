"""The error tree. A prompt error is an answer to a requester; an agent error is a sentence for an operator.

Codes and statuses are the wire contract, version 1: they never change once shipped.
"""

from typing import ClassVar

SHOWN_CHARACTERS = 80
"""What a refusal repeats of a text that it refuses, at most."""


class AgentError(Exception):
    """promptd cannot continue."""

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        return super().__str__() or (self.__doc__ or "").strip()


class ConfigError(AgentError):
    """The configuration must be corrected by a person."""

    exit_code = 78


class EngineError(AgentError):
    """The engine could not be loaded or failed while it ran."""


class ModelError(AgentError):
    """The model is missing, damaged or not of a kind promptd can run."""


class PromptError(Exception):
    """A prompt that ends without a completion; the message tells the requester what to do."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(
        self, message: str = "", *, param: str | None = None, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message or (self.__doc__ or "").strip())
        self.param = param
        self.retry_after_ms = retry_after_ms

    @property
    def message(self) -> str:
        """The sentence the requester reads."""
        return str(self.args[0])


class InvalidJson(PromptError):
    """The payload is not a JSON object; send JSON, or plain text with content type text/plain."""

    code, status = "invalid_json", 400


class InvalidField(PromptError):
    """A field is unknown, missing or out of range; `param` names it."""

    code, status = "invalid_field", 400


class UnknownOperation(PromptError):
    """The topic names no operation; use request/chat, request/complete or request/cancel."""

    code, status = "unknown_operation", 400


class ContextLengthExceeded(PromptError):
    """Prompt and answer do not fit into the context; shorten the prompt or lower max_tokens."""

    code, status = "context_length_exceeded", 400


class UnsupportedSchema(PromptError):
    """This response_format cannot be enforced here; leave it out or use type text."""

    code, status = "unsupported_schema", 400


class ModelNotFound(PromptError):
    """No such model runs on this device; leave `model` out to use the one that does."""

    code, status = "model_not_found", 404


class Expired(PromptError):
    """The deadline passed before the prompt was started; allow more time or ask a less busy device."""

    code, status = "expired", 408


class Timeout(PromptError):
    """The deadline passed while the answer was written; allow more time or lower max_tokens."""

    code, status = "timeout", 408


class Conflict(PromptError):
    """This id, or this Correlation Data, was used for another prompt; use new ones for a new prompt."""

    code, status = "conflict", 409


class PayloadTooLarge(PromptError):
    """The payload is larger than this device accepts."""

    code, status = "payload_too_large", 413


class UnsupportedContentType(PromptError):
    """The content type is not understood; use application/json or text/plain."""

    code, status = "unsupported_content_type", 415


class RateLimited(PromptError):
    """This requester sends more prompts than this device takes from one; try again after the given time."""

    code, status = "rate_limited", 429


class Cancelled(PromptError):
    """The prompt was cancelled by its requester."""

    code, status = "cancelled", 499


class Internal(PromptError):
    """The device failed in a way it did not foresee; its log names the cause."""


class EngineCrashed(PromptError):
    """The engine crashed on this prompt at every attempt; do not send it again unchanged."""

    code, status = "engine_crashed", 500


class OutOfMemory(PromptError):
    """The device ran out of memory on this prompt; shorten it or lower max_tokens."""

    code, status = "out_of_memory", 500


class QueueFull(PromptError):
    """The queue of this device is full; try again after the given time or ask another device."""

    code, status = "queue_full", 503


class DeadlineUnreachable(PromptError):
    """The queue of this device is too long for this deadline; allow more time or ask another device."""

    code, status = "deadline_unreachable", 503


class EngineUnavailable(PromptError):
    """No engine runs on this device at the moment; its info topic tells why."""

    code, status = "engine_unavailable", 503


class Stopping(PromptError):
    """The device is stopping; send the prompt again after the given time."""

    code, status = "stopping", 503


def by_code(code: str) -> type[PromptError]:
    """Return the error class of a wire code; unknown codes are `Internal`."""
    return next((kind for kind in PromptError.__subclasses__() if kind.code == code), Internal)
