"""Every error that a requester can cause, once over the wire."""

from typing import Any

import pytest
from rig.box import TOPICS, Box, chat

REFUSED: list[tuple[str, str | None, dict[str, Any] | bytes, str, dict[str, Any]]] = [
    ("invalid_json", None, b'{"messages": ', "chat", {}),
    ("invalid_field", "colour", chat("hi", colour="red"), "chat", {}),
    ("invalid_field", "correlation", chat("hi"), "chat", {"correlation": b"c" * 65}),
    ("invalid_field", "id", {}, "cancel", {"correlation": b""}),
    ("unknown_operation", None, {}, "embed", {}),
    ("context_length_exceeded", None, chat("hi", max_tokens=599_999), "chat", {}),
    (
        "unsupported_schema",
        "response_format.type",
        chat("hi", response_format={"type": "grammar"}),
        "chat",
        {},
    ),
    ("model_not_found", "model", chat("hi", model="gpt-4"), "chat", {}),
    ("payload_too_large", None, b"x" * 262_145, "chat", {}),
    ("unsupported_content_type", None, b"hi", "chat", {"content_type": "image/png"}),
]

STATUS = {"model_not_found": "404", "payload_too_large": "413", "unsupported_content_type": "415"}


@pytest.mark.parametrize(
    ("code", "param", "request_", "operation", "envelope"), REFUSED, ids=[f"{r[0]}-{r[1]}" for r in REFUSED]
)
def test_a_refused_request_is_answered_with_its_code(
    box: Box,
    code: str,
    param: str | None,
    request_: dict[str, Any] | bytes,
    operation: str,
    envelope: dict[str, Any],
) -> None:
    topic = f"promptd/v1/client/me/response/{code}-{param}"

    box.send(request_, operation, response_topic=topic, **envelope)

    reply = box.requester.wait_for(lambda r: r.topic == topic)
    assert reply.properties == {"event": "failed", "status": STATUS.get(code, "400")}
    assert (reply.body["error"]["code"], reply.body["error"]["param"]) == (code, param)
    assert reply.body["error"]["message"]


def test_a_refusal_without_a_response_topic_goes_to_the_topic_of_its_id(box: Box) -> None:
    box.send(chat("hi", id="bad-seed", seed=-1), response_topic="", correlation=b"")

    reply = box.requester.wait_for(lambda r: r.topic == TOPICS.response("bad-seed"))

    assert reply.body["error"]["param"] == "seed"


def test_a_refused_request_that_is_corrected_under_the_same_id_is_answered(box: Box) -> None:
    first = box.send(chat("hi", id="again", seed=-1))
    box.ending(first)

    box.send(chat("hi", id="again"), response_topic=first.topic, correlation=first.correlation)

    assert box.heard(first, "completed")


def test_a_retained_prompt_is_not_run_and_an_event_tells_so(box: Box) -> None:
    topic = TOPICS.request("chat")
    accepted = box.wait_for_health(lambda _: True)["requests"]["accepted"]

    box.requester.publish(topic, b"retained", retain=True)

    box.requester.publish(topic, b"", retain=True)
    event = box.requester.wait_for(lambda r: r.topic == TOPICS.event("refused_retained"))
    assert event.body == {"topic": topic}
    after = box.wait_for_health(lambda h: h["requests"]["refused_retained"] >= 1)
    assert after["requests"]["accepted"] >= accepted
    assert not any(b'"content":"retained"' in r.payload for r in box.requester.replies)


@pytest.mark.parametrize(
    "topic",
    [
        "promptd/v1/device/other/request/chat",
        TOPICS.request("chat"),
        "elsewhere/response",
        TOPICS.status,
        "promptd/v1/client/response/me",
    ],
)
def test_nothing_is_sent_to_a_forbidden_response_topic_and_an_event_tells_so(box: Box, topic: str) -> None:
    heard = len([r for r in box.requester.replies if r.topic == topic and r.event])

    ticket = box.send(chat("psst"), response_topic=topic)

    box.requester.wait_for(
        lambda r: r.topic == TOPICS.event("refused_response_topic") and r.body["response_topic"] == topic
    )
    box.ending(box.send(chat("the next one is answered")))
    assert not box.endings(ticket)
    assert len([r for r in box.requester.replies if r.topic == topic and r.event]) == heard
