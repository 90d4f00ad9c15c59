"""The bodies and properties of the four replies."""

import json

import pytest

from agent.wire import replies
from agent.wire.errors import QueueFull
from agent.wire.packets import Confirmation, Publication
from agent.wire.prompt import Message, Prompt, ReplyTo
from agent.wire.replies import Completion, EngineBadge, Timings, Usage

REPLY_TO = ReplyTo("answers/1", b"c")
CHAT = Prompt("p1", "chat", REPLY_TO, (Message("user", "hi"),))
COMPLETE = Prompt("p2", "complete", REPLY_TO, text="hi")
BADGE = EngineBadge("gguf-cpu", "demo", "abc")
ANSWER = Completion("hello", "stop", Usage(3, 2, 1, 4, 2), Timings(1.0, 2.0, 3.0, 4.0, 5.0), BADGE)

ALL = [
    (
        replies.accepted(CHAT, position=2, predicted_start_ms=None, predicted_finish_ms=None),
        "accepted",
        "202",
        0,
    ),
    (replies.chunk(CHAT, "he", 0, BADGE, 1), "chunk", "200", 0),
    (replies.completed(CHAT, ANSWER, 1), "completed", "200", 1),
    (replies.failed("p1", REPLY_TO, QueueFull(retry_after_ms=5)), "failed", "503", 1),
]


@pytest.mark.parametrize(("reply", "event", "status", "qos"), ALL, ids=[row[1] for row in ALL])
def test_every_reply_has_the_envelope_of_the_contract(
    reply: Publication, event: str, status: str, qos: int
) -> None:
    properties = dict(reply.properties)

    assert (properties["event"], properties["status"], reply.qos) == (event, status, qos)
    assert (reply.topic, reply.correlation, reply.retain) == ("answers/1", b"c", False)
    assert reply.content_type == "application/json"


def test_a_chat_answer_has_openais_names() -> None:
    reply = replies.completed(CHAT, ANSWER, 1)

    body = json.loads(reply.payload)

    assert (body["id"], body["object"], body["created"], body["model"]) == (
        "p1",
        "chat.completion",
        1,
        "demo",
    )
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "hello"}
    assert body["usage"]["total_tokens"] == 5
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}
    assert body["usage"]["completion_tokens_details"] == {
        "accepted_prediction_tokens": 4,
        "rejected_prediction_tokens": 2,
    }
    assert body["engine"] == {"variant": "gguf-cpu", "model_sha256": "abc"}


def test_a_text_answer_has_openais_names() -> None:
    reply = replies.completed(COMPLETE, ANSWER, 1)

    body = json.loads(reply.payload)

    assert (body["object"], body["choices"][0]["text"]) == ("text_completion", "hello")


@pytest.mark.parametrize(("prompt", "kind"), [(CHAT, "chat.completion.chunk"), (COMPLETE, "text_completion")])
def test_a_chunk_has_openais_names_and_its_number(prompt: Prompt, kind: str) -> None:
    reply = replies.chunk(prompt, "he", 7, BADGE, 1)

    assert json.loads(reply.payload)["object"] == kind
    assert dict(reply.properties)["sequence"] == "7"


def test_a_failure_tells_code_message_param_and_patience() -> None:
    reply = replies.failed("p1", REPLY_TO, QueueFull("full", retry_after_ms=5))

    body = json.loads(reply.payload)

    error = {"code": "queue_full", "message": "full", "param": None, "retry_after_ms": 5}
    assert body == {"id": "p1", "error": error}


@pytest.mark.parametrize(
    ("code", "is_accepted"), [(0x00, True), (0x10, True), (0x7F, True), (0x80, False), (0x97, False)]
)
def test_only_reason_codes_below_0x80_mean_that_the_broker_took_it(code: int, *, is_accepted: bool) -> None:
    confirmation = Confirmation(1, code)

    assert confirmation.is_accepted is is_accepted
