"""The door: what is let in, and how the rest is refused."""

import json
from typing import Any

import pytest

from agent.wire.errors import InvalidField, PromptError
from agent.wire.packets import Delivery
from agent.wire.prompt import Message, Operation, Prompt
from agent.wire.requests import Door, claimed_id
from agent.wire.topics import Topics

TOPICS = Topics("promptd", "box")
DOOR = Door(TOPICS, "demo", 600)
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
JSON = "application/json"


def _enter(payload: bytes, operation: Operation = "chat", **envelope: Any) -> Prompt:  # noqa: ANN401 -- a Delivery's fields
    return DOOR.prompt(operation, Delivery(TOPICS.request(operation), payload, **envelope))


def _refusal(payload: bytes, operation: Operation = "chat", **envelope: Any) -> tuple[str, str | None]:  # noqa: ANN401 -- as above
    with pytest.raises(PromptError) as caught:
        _enter(payload, operation, **envelope)
    return caught.value.code, caught.value.param


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b'{"messages": []',
        b"[]",
        b"null",
        b"3",
        b'{"a": 1} {"b": 2}',
        b'{"prompt": "caf\xe9"}',
        b'{"prompt": "\xc0\xaf"}',
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        json.dumps(HELLO).encode("utf-16"),
        json.dumps(HELLO).encode("utf-16-le"),
        b"\xef\xbb\xbf" + json.dumps(HELLO).encode(),
        b'{"a":' * 100_000,
        b'{"messages": ' + b"[" * 100_000,
        b'{"max_tokens": ' + b"9" * 10_000,
    ],
    ids=lambda payload: repr(payload[:24]),
)
def test_what_is_no_json_object_is_refused(payload: bytes) -> None:
    code, _ = _refusal(payload, content_type=JSON)

    assert code == "invalid_json"


FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": "10"}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": 2**31}, "max_tokens"),
    ({"max_tokens": 2**63}, "max_tokens"),
    ({"temperature": -1}, "temperature"),
    ({"temperature": 1e9}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": float("nan")}, "temperature"),
    ({"temperature": float("inf")}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_p": 1.1}, "top_p"),
    ({"top_k": -1}, "top_k"),
    ({"seed": -1}, "seed"),
    ({"seed": 2**64}, "seed"),
    ({"stop": ""}, "stop"),
    ({"stop": [""]}, "stop"),
    ({"stop": ["x"] * 1000}, "stop"),
    ({"stream": 1}, "stream"),
    ({"stream": "yes"}, "stream"),
    ({"timeout_s": 0}, "timeout_s"),
    ({"priority": "urgent"}, "priority"),
    ({"id": "a/b"}, "id"),
    ({"id": ""}, "id"),
    ({"id": "x" * 65}, "id"),
    ({"id": "a\n"}, "id"),
    ({"id": 7}, "id"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "user"}]}, "messages"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages"),
    ({"messages": [{"role": "user", "content": " \n"}]}, "messages"),
    ({"messages": [{"role": "user", "content": "x"}] * 257}, "messages"),
    ({"prompt": "in the wrong operation"}, "prompt"),
    ({"tools": []}, "tools"),
    ({"__class__": "x"}, "__class__"),
    ({"k" * 65_536: 1}, "k" * 80),
]


@pytest.mark.parametrize(("fields", "param"), FIELDS, ids=[str(fields)[:50] for fields, _ in FIELDS])
def test_a_bad_field_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    payload = json.dumps(HELLO | fields).encode()

    code, named = _refusal(payload, content_type=JSON)

    assert code == "invalid_field"
    assert named is not None
    assert named.split(".")[0] == param


@pytest.mark.parametrize(
    ("payload", "param"),
    [
        (b'{"id": "a", "id": "b", "prompt": "x"}', "id"),
        (b'{"prompt": "x", "prompt": "y"}', "prompt"),
        (b'{"prompt": ""}', "prompt"),
        (b'{"prompt": "  \\n"}', "prompt"),
        (b"{}", "prompt"),
    ],
)
def test_a_bad_prompt_of_complete_is_refused_by_its_name(payload: bytes, param: str) -> None:
    refusal = _refusal(payload, "complete")

    assert refusal == ("invalid_field", param)


@pytest.mark.parametrize("payload", [b"", b"  \n", b"a\0b"])
def test_plain_text_without_words_is_refused(payload: bytes) -> None:
    refusal = _refusal(payload)

    assert refusal == ("invalid_field", "payload")


@pytest.mark.parametrize(
    "kind", ["image/png", "application/x-python-pickle", "application/jsonp", "text/html"]
)
def test_an_unknown_content_type_is_refused(kind: str) -> None:
    code, _ = _refusal(json.dumps(HELLO).encode(), content_type=kind)

    assert code == "unsupported_content_type"


@pytest.mark.parametrize("kind", [None, "", JSON, "Application/JSON; charset=utf-8"])
def test_json_is_understood_with_and_without_its_content_type(kind: str | None) -> None:
    prompt = _enter(json.dumps(HELLO).encode(), content_type=kind)

    assert prompt.messages == (Message("user", "hello"),)


@pytest.mark.parametrize("kind", [None, "text/plain", "text/plain; charset=utf-8"])
def test_plain_text_is_the_prompt_itself(kind: str | None) -> None:
    prompt = _enter("grüß dich".encode(), content_type=kind)

    assert prompt.messages == (Message("user", "grüß dich"),)


def test_text_that_looks_like_json_is_a_prompt_when_its_type_says_so() -> None:
    prompt = _enter(b'{"a": 1}', content_type="text/plain")

    assert prompt.messages == (Message("user", '{"a": 1}'),)


@pytest.mark.parametrize("model", ["gpt-4", "", "/etc/passwd", "https://example.org/model", "m" * 300])
def test_another_model_is_not_found(model: str) -> None:
    refusal = _refusal(json.dumps(HELLO | {"model": model}).encode())

    assert refusal == ("model_not_found", "model")


def test_the_model_that_runs_may_be_named() -> None:
    prompt = _enter(json.dumps(HELLO | {"model": "demo"}).encode())

    assert prompt.operation == "chat"


def test_every_field_reaches_the_prompt() -> None:
    fields = {"id": "a.b-c_1", "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "top_k": 3, "seed": 0}
    fields |= {"stop": "END", "stream": True, "progress": True, "timeout_s": 5, "priority": "batch"}

    prompt = _enter(json.dumps(HELLO | fields).encode(), response_topic="r", correlation=b"c")

    assert (prompt.id, prompt.max_tokens, prompt.stop, prompt.timeout_s) == ("a.b-c_1", 7, ("END",), 5)
    assert (prompt.sampling.temperature, prompt.sampling.top_p) == (0.5, 0.9)
    assert (prompt.sampling.top_k, prompt.sampling.seed) == (3, 0)
    assert (prompt.stream, prompt.progress, prompt.priority) == (True, True, "batch")
    assert (prompt.reply_to.topic, prompt.reply_to.correlation) == ("r", b"c")


@pytest.mark.parametrize(
    ("timeout_s", "expiry_s", "holds_s"),
    [(None, None, 600), (5, None, 5), (None, 7, 7), (5, 7, 5), (9, 7, 7)],
)
def test_the_earlier_of_timeout_and_message_expiry_holds(
    timeout_s: float | None, expiry_s: int | None, holds_s: float
) -> None:
    request = HELLO | ({"timeout_s": timeout_s} if timeout_s else {})

    prompt = _enter(json.dumps(request).encode(), expiry_s=expiry_s)

    assert prompt.timeout_s == holds_s


@pytest.mark.parametrize(
    "payload", [b'{"id": "a\\n"}', b'{"id": "a/b"}', b'{"id": 7}', b"[]", b"\xff", b"[" * 100_000]
)
def test_an_id_that_could_not_stand_in_a_topic_is_not_claimed(payload: bytes) -> None:
    claimed = claimed_id(payload)

    assert claimed is None


@pytest.mark.parametrize(
    ("payload", "param"),
    [
        (b'{"messages": [{"role": "user", "content": "a\\u0000b"}]}', "messages.0.content"),
        (b"a\0b", "payload"),
    ],
)
def test_a_nul_character_is_refused_however_it_comes(payload: bytes, param: str) -> None:
    delivery = Delivery(f"{TOPICS.prefix}/request/chat", payload)

    with pytest.raises(InvalidField) as refusal:
        DOOR.prompt("chat", delivery)

    assert refusal.value.param == param
