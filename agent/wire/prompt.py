"""The vocabulary of the agent: a prompt as it travels inside, and where its answer goes."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from agent.wire.packets import BYTES_AS_BASE64

Operation = Literal["chat", "complete"]
Priority = Literal["interactive", "normal", "batch"]
Role = Literal["system", "user", "assistant"]

PRIORITIES: tuple[Priority, ...] = ("interactive", "normal", "batch")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. The default is greedy: the same prompt gives the same answer."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    """0 means all tokens."""
    seed: int | None = None
    min_p: float = 0.0
    """Tokens less likely than this share of the likeliest one are left out."""
    repetition_penalty: float = 1.0
    """Above 1: tokens that stand in the prompt or the answer become less likely."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """What an answer must look like, whatever the model would like to say."""

    kind: Literal["json_schema", "regex"]
    text: str
    """The schema as JSON, or the regular expression."""


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Where the answer goes."""

    __pydantic_config__: ClassVar = BYTES_AS_BASE64

    topic: str
    """Empty when the requester named a topic that is not allowed: then nothing is sent."""
    correlation: bytes = b""


def request_key(reply_to: ReplyTo, prompt_id: str) -> bytes:
    """Return what makes two deliveries the same request: response topic and correlation, else the id."""
    return reply_to.topic.encode() + b"\0" + (reply_to.correlation or prompt_id.encode())


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question for the model, decoded once at the door."""

    id: str
    operation: Operation
    reply_to: ReplyTo
    messages: tuple[Message, ...] = ()
    text: str = ""
    """The prompt of `complete`."""
    max_tokens: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    grammar: Grammar | None = None
    deterministic: bool = False
    """Whether the answer must not depend on who else is computed at the same time, whatever it costs."""
    stream: bool = False
    progress: bool = False
    timeout_s: float = 600.0
    priority: Priority = "normal"

    @property
    def key(self) -> bytes:
        """What makes two deliveries the same request."""
        return request_key(self.reply_to, self.id)


@dataclass(frozen=True, slots=True)
class Cancel:
    """The wish to end a prompt: by its id, or by its Response Topic and Correlation Data."""

    id: str | None
    reply_to: ReplyTo
