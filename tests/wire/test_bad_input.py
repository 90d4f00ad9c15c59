"""Bad input of every kind that is known to have hurt somebody, each with the code of its refusal."""

import gzip
import json
from typing import Any

import pytest

from agent.wire.envelope import check_envelope
from agent.wire.errors import PromptError, UnknownOperation
from agent.wire.packets import Delivery
from agent.wire.requests import Door
from agent.wire.topics import Topics

TOPICS = Topics("promptd", "box")
DOOR = Door(TOPICS, "demo", 600)
MAX_PAYLOAD_BYTES = 262_144
JSON, TEXT = "application/json", "text/plain"
TAKEN = "taken"


def judge(delivery: Delivery) -> None:
    """Do with a delivery what the intake does before it stores it."""
    check_envelope(delivery, MAX_PAYLOAD_BYTES)
    match TOPICS.operation(delivery.topic):
        case "cancel":
            DOOR.cancel(delivery)
        case "chat" | "complete" as operation:
            DOOR.prompt(operation, delivery)
        case _:
            raise UnknownOperation


def receive(payload: bytes, topic: str, **envelope: Any) -> str:  # noqa: ANN401 -- a Delivery's fields
    """Return the code of a refusal, with its param if it has one."""
    try:
        judge(Delivery(topic, payload, **envelope))
    except PromptError as error:
        refusal = error
    else:
        return TAKEN
    assert 0 < len(refusal.message) < 1000
    assert "Input should" not in refusal.message  # the words of a library, not of this contract
    return f"{refusal.code} {refusal.param}" if refusal.param else refusal.code


def chat(content: Any = "hello", **fields: Any) -> bytes:  # noqa: ANN401 -- any JSON
    return json.dumps({"messages": [{"role": "user", "content": content}]} | fields).encode()


def complete(prompt: Any, **fields: Any) -> bytes:  # noqa: ANN401 -- any JSON
    return json.dumps({"prompt": prompt} | fields).encode()


def raw(field: str) -> bytes:
    """Return a chat with a field that is written as it is."""
    return chat().removesuffix(b"}") + b", " + field.encode() + b"}"


def schema(content: Any) -> bytes:  # noqa: ANN401 -- any JSON
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": content}}
    return chat(response_format=wanted)


def raw_schema(text: str) -> bytes:
    """Return a chat whose schema is written as it is."""
    return schema("SCHEMA").replace(b'"SCHEMA"', text.encode())


def within(depth: int) -> dict[str, Any]:
    """Return a schema with `depth` schemas inside each other."""
    content: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        content = {"items": content}
    return content


def nested(depth: int, innermost: Any = 1) -> Any:  # noqa: ANN401 -- any JSON
    for _ in range(depth):
        innermost = [innermost]
    return innermost


ENVELOPE: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "empty payload": (b"", {}, "invalid_field payload"),
    "one byte": (b"{", {}, "invalid_json"),
    "exactly the largest size": (b"x" * MAX_PAYLOAD_BYTES, {}, TAKEN),
    "one byte more": (b"x" * (MAX_PAYLOAD_BYTES + 1), {}, "payload_too_large"),
    "no response topic and no id": (chat(), {}, TAKEN),
    "bytes that are no UTF-8": (b"\xff\xfe\xfd", {}, "invalid_json"),
    "correlation of 64 bytes": (chat(), {"correlation": b"c" * 64}, TAKEN),
    "correlation of 65 bytes": (chat(), {"correlation": b"c" * 65}, "invalid_field correlation"),
    "32 user properties": (chat(), {"properties": (("a", "b"),) * 32}, TAKEN),
    "33 user properties": (chat(), {"properties": (("a", "b"),) * 33}, "invalid_field user_properties"),
    "1,000 user properties": (chat(), {"properties": (("a", "b"),) * 1000}, "invalid_field user_properties"),
    "a property of 256 bytes": (chat(), {"properties": (("a", "b" * 255),)}, TAKEN),
    "a property of 257 bytes": (chat(), {"properties": (("a", "ü" * 128),)}, "invalid_field user_properties"),
    "a property with a long name": (
        chat(),
        {"properties": (("n" * 65_535, ""),)},
        "invalid_field user_properties",
    ),
    "a pickle": (b"x", {"content_type": "application/x-python-pickle"}, "unsupported_content_type"),
    "a content type of 64 KiB": (chat(), {"content_type": "x" * 65_535}, "unsupported_content_type"),
    "another charset": (chat(), {"content_type": f"{JSON}; charset=utf-16"}, "unsupported_content_type"),
    "a charset of 64 KiB": (
        chat(),
        {"content_type": f"{TEXT};charset={'x' * 9999}"},
        "unsupported_content_type",
    ),
    "UTF-8 by name": (chat(), {"content_type": f'{JSON}; charset="UTF-8"; q=1'}, TAKEN),
    "no content type but blanks": (chat(), {"content_type": "  "}, TAKEN),
    "a compressed payload": (
        gzip.compress(chat()),
        {"content_type": JSON, "properties": (("Content-Encoding", "gzip"),)},
        "unsupported_content_type",
    ),
    "a bomb": (
        gzip.compress(bytes(10_000_000)),
        {"properties": (("content-encoding", "deflate, gzip"),)},
        "unsupported_content_type",
    ),
    "compressed in silence": (gzip.compress(chat()), {"content_type": JSON}, "invalid_json"),
    "an encoding that is none": (chat(), {"properties": (("content-encoding", "identity"),)}, TAKEN),
    "an expiry of 136 years": (chat(), {"expiry_s": 4_294_967_295}, TAKEN),
    "an expiry of nothing": (chat(), {"expiry_s": 0}, TAKEN),
}

SYNTAX: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"{hello}", "invalid_json"),
    "array": (b"[]", "invalid_json"),
    "null": (b"null", "invalid_json"),
    "a number": (b"1", "invalid_json"),
    "a text": (b'"x"', "invalid_json"),
    "trailing garbage": (chat() + b"x", "invalid_json"),
    "two documents": (chat() + chat(), "invalid_json"),
    "trailing comma": (b'{"prompt": "x",}', "invalid_json"),
    "a comment": (b'{"prompt": "x"} // why', "invalid_json"),
    "single quotes": (b"{'prompt': 'x'}", "invalid_json"),
    "byte order mark": (b"\xef\xbb\xbf" + chat(), "invalid_json"),
    "UTF-16": (chat().decode().encode("utf-16"), "invalid_json"),
    "UTF-16LE": (chat().decode().encode("utf-16-le"), "invalid_json"),
    "UTF-32": (chat().decode().encode("utf-32"), "invalid_json"),
    "Latin-1": (b'{"prompt": "caf\xe9"}', "invalid_json"),
    "overlong UTF-8": (b'{"prompt": "\xc0\xaf"}', "invalid_json"),
    "a surrogate in UTF-8": (b'{"prompt": "\xed\xa0\x80"}', "invalid_json"),
    "lone surrogate": (b'{"prompt": "\\ud800"}', "invalid_json"),
    "surrogates in the wrong order": (b'{"prompt": "\\udc00\\ud800"}', "invalid_json"),
    "lone surrogate in a key": (b'{"\\ud800": 1}', "invalid_json"),
    "a control character": (b'{"prompt": "a\x01b"}', "invalid_json"),
    "100,000 arrays": (b'{"messages": ' + b"[" * 100_000, "invalid_json"),
    "100,000 closed arrays": (b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json"),
    "50,000 objects": (b'{"a":' * 50_000, "invalid_json"),
    "33 levels": (chat(nested(30)), "invalid_json"),
    "32 levels": (chat(nested(29)), "invalid_field messages.0.content"),
    "duplicate keys": (b'{"messages": [], "messages": []}', "invalid_field messages"),
    "duplicate keys that fit": (raw('"seed": 1, "seed": 1'), "invalid_field seed"),
    "duplicate keys deep inside": (
        b'{"messages": [{"role": "user", "role": "system", "content": "x"}]}',
        "invalid_field role",
    ),
    "NaN": (raw('"temperature": NaN'), "invalid_field temperature"),
    "Infinity": (raw('"temperature": Infinity'), "invalid_field temperature"),
    "-Infinity": (raw('"temperature": -Infinity'), "invalid_field temperature"),
    "1e999": (raw('"temperature": 1e999'), "invalid_field temperature"),
    "an integer of 400 digits": (raw(f'"temperature": {"9" * 400}'), "invalid_field temperature"),
    "an integer of 4,000 digits": (raw(f'"seed": {"9" * 4000}'), "invalid_field seed"),
    "an integer of 10,000 digits": (raw(f'"seed": {"9" * 10_000}'), "invalid_json"),
    "minus nothing": (raw('"temperature": -0.0'), TAKEN),
    "1e-400": (raw('"temperature": 1e-400'), TAKEN),
    "a leading zero": (raw('"seed": 01'), "invalid_json"),
    "a plus": (raw('"seed": +1'), "invalid_json"),
    "hexadecimal": (raw('"seed": 0x1'), "invalid_json"),
    "65 keys": (chat(**{f"k{n}": n for n in range(64)}), "invalid_json"),
    "10,000 keys": (chat(**{f"k{n}": n for n in range(10_000)}), "invalid_json"),
    "10,000 keys in a message": (
        json.dumps({"messages": [{f"k{n}": n for n in range(10_000)}]}).encode(),
        "invalid_json",
    ),
    "a key of 64 KiB": (chat(**{"k" * 65_536: 1}), f"invalid_field {'k' * 80}"),
    "a key of 256 characters": (chat(**{"k" * 256: 1}), f"invalid_field {'k' * 256}"),
    "a key of nothing": (chat(**{"": 1}), "invalid_field"),
    "a key with a dash": (chat(**{"max-tokens": 1}), "invalid_field max-tokens"),
    "__proto__": (chat(__proto__={"a": 1}), "invalid_field __proto__"),
    "__class__": (chat(__class__="x"), "invalid_field __class__"),
    "10,000 tools": (chat(tools=[{"type": "function"}] * 10_000), "invalid_field tools"),
    "a list of 60,000": (chat(messages=[1] * 60_000), "invalid_field messages.0"),
}

MEANING: dict[str, tuple[bytes, str]] = {
    "a prompt of nothing": (chat(""), "invalid_field messages.0.content"),
    "a prompt of blanks": (chat(" \n\t\u00a0\u2003"), "invalid_field messages.0.content"),
    "a NUL": (chat("a\0b"), "invalid_field messages.0.content"),
    "one line of 64 KiB": (chat("x" * 65_536), TAKEN),
    "a tower of combining marks": (chat("Z" + "\u0335\u0321\u0322" * 10_000), TAKEN),
    "text from right to left": (chat("\u202eabc\u2066"), TAKEN),
    "a template": (chat("{{ ''.__class__ }}{% for %}"), TAKEN),
    "a control token": (chat("<|im_start|>system"), TAKEN),
    "a number for a text": (chat(7), "invalid_field messages.0.content"),
    "parts for a text": (chat([{"type": "text", "text": "x"}]), "invalid_field messages.0.content"),
    "a message of null": (chat(messages=[None]), "invalid_field messages.0"),
    "a role of the wrong kind": (
        chat(messages=[{"role": ["user"], "content": "x"}]),
        "invalid_field messages.0.role",
    ),
    "a system message": (chat(messages=[{"role": "system", "content": "x"}]), TAKEN),
    "a tool message": (chat(messages=[{"role": "tool", "content": "x"}]), "invalid_field messages.0.role"),
    "257 messages": (chat(messages=[{"role": "user", "content": "x"}] * 257), "invalid_field messages"),
    "an object for messages": (chat(messages={"role": "user"}), "invalid_field messages"),
    "max_tokens as text": (chat(max_tokens="10"), "invalid_field max_tokens"),
    "max_tokens 1.5": (chat(max_tokens=1.5), "invalid_field max_tokens"),
    "max_tokens 10.0": (chat(max_tokens=10.0), "invalid_field max_tokens"),
    "max_tokens true": (chat(max_tokens=True), "invalid_field max_tokens"),
    "max_tokens 0": (chat(max_tokens=0), "invalid_field max_tokens"),
    "max_tokens -1": (chat(max_tokens=-1), "invalid_field max_tokens"),
    "max_tokens 2^31": (chat(max_tokens=2**31), "invalid_field max_tokens"),
    "max_tokens 2^63": (chat(max_tokens=2**63), "invalid_field max_tokens"),
    "temperature -1": (chat(temperature=-1), "invalid_field temperature"),
    "temperature 1e9": (chat(temperature=1e9), "invalid_field temperature"),
    "temperature true": (chat(temperature=True), "invalid_field temperature"),
    "temperature 1": (chat(temperature=1), TAKEN),
    "top_p 0": (chat(top_p=0), "invalid_field top_p"),
    "top_k 2^63": (chat(top_k=2**63), "invalid_field top_k"),
    "min_p 2": (chat(min_p=2), "invalid_field min_p"),
    "repetition_penalty 0": (chat(repetition_penalty=0), "invalid_field repetition_penalty"),
    "seed -1": (chat(seed=-1), "invalid_field seed"),
    "seed 2^63 - 1": (chat(seed=2**63 - 1), TAKEN),
    "seed 2^64": (chat(seed=2**64), "invalid_field seed"),
    "no stop": (chat(stop=[]), TAKEN),
    "a stop of nothing": (chat(stop=[""]), "invalid_field stop.0"),
    "17 stops": (chat(stop=["x"] * 17), "invalid_field stop"),
    "1,000 stops": (chat(stop=["x"] * 1000), "invalid_field stop"),
    "a stop of 257 characters": (chat(stop="x" * 257), "invalid_field stop.0"),
    "stream as number": (chat(stream=1), "invalid_field stream"),
    "timeout_s 0": (chat(timeout_s=0), "invalid_field timeout_s"),
    "timeout_s of eight days": (chat(timeout_s=691_200), "invalid_field timeout_s"),
    "an unknown priority": (chat(priority="root"), "invalid_field priority"),
    "an id with a slash": (chat(id="../../etc"), "invalid_field id"),
    "an id with a wildcard": (chat(id="#"), "invalid_field id"),
    "an id of 65 characters": (chat(id="x" * 65), "invalid_field id"),
    "an id with a line break": (chat(id="x\n"), "invalid_field id"),
    "a model by path": (chat(model="/etc/passwd"), "model_not_found model"),
    "a model by address": (chat(model="https://models.example/x"), "model_not_found model"),
    "a model of 100,000 characters": (chat(model="m" * 100_000), "model_not_found model"),
    "a format of the wrong kind": (chat(response_format="json"), "invalid_field response_format"),
    "an unknown format": (
        chat(response_format={"type": "x" * 9999}),
        "unsupported_schema response_format.type",
    ),
}

FORMAT = "unsupported_schema response_format.json_schema.schema"
SCHEMAS: dict[str, tuple[bytes, str]] = {
    "a schema of 65 properties": (schema({"properties": {f"p{n}": {} for n in range(65)}}), TAKEN),
    "a schema of 1,025 properties": (schema({"properties": {f"p{n}": {} for n in range(1025)}}), FORMAT),
    "a property of 257 characters": (schema({"properties": {"p" * 257: {}}}), f"invalid_field {'p' * 80}"),
    "a schema of null": (schema(None), "invalid_field response_format.json_schema.schema"),
    "1,000 references in a row": (
        schema(
            {"$ref": "#/$defs/d0", "$defs": {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(1000)}}
        ),
        FORMAT,
    ),
    "a reference in a circle": (schema({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}), FORMAT),
    "a reference of 50,000 characters": (schema({"$ref": "x" * 50_000}), FORMAT),
    "32 schemas inside each other": (schema(within(32)), TAKEN),
    "33 schemas inside each other": (schema(within(33)), FORMAT),
    "a constant of 150 levels": (schema({"const": nested(150)}), FORMAT),
    "a constant of 300 levels": (schema({"const": nested(300)}), "invalid_json"),
    "a minimum of 1e999": (raw_schema('{"minimum": 1e999}'), FORMAT),
    "a step of 1e999": (raw_schema('{"multipleOf": 1e999}'), FORMAT),
    "a minimum of NaN": (raw_schema('{"minimum": NaN}'), FORMAT),
    "a constant of NaN": (raw_schema('{"const": NaN}'), FORMAT),
    "a minimum of 4,000 digits": (raw_schema('{"minimum": ' + "9" * 4000 + "}"), FORMAT),
    "a keyword twice": (raw_schema('{"type": "string", "type": "number"}'), "invalid_field type"),
}

TOPIC_CODES = {
    f"{TOPICS.prefix}/request/": "unknown_operation",
    f"{TOPICS.prefix}/request/embed": "unknown_operation",
    f"{TOPICS.prefix}/request/Chat": "unknown_operation",
    f"{TOPICS.prefix}/request/chat ": "unknown_operation",
    f"{TOPICS.prefix}/request/chat": TAKEN,
    "": "unknown_operation",
}


@pytest.mark.parametrize("kind", ENVELOPE)
def test_a_bad_envelope_is_refused(kind: str) -> None:
    payload, envelope, expected = ENVELOPE[kind]

    code = receive(payload, TOPICS.request("chat"), **envelope)

    assert code == expected


@pytest.mark.parametrize("kind", SYNTAX)
def test_bad_json_is_refused(kind: str) -> None:
    payload, expected = SYNTAX[kind]

    code = receive(payload, TOPICS.request("chat"), content_type=JSON)

    assert code == expected


@pytest.mark.parametrize("kind", MEANING)
def test_bad_meaning_is_refused_by_its_field(kind: str) -> None:
    payload, expected = MEANING[kind]

    code = receive(payload, TOPICS.request("chat"), content_type=JSON)

    assert code == expected


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_bad_schema_is_refused(kind: str) -> None:
    payload, expected = SCHEMAS[kind]

    code = receive(payload, TOPICS.request("chat"), content_type=JSON)

    assert code == expected


@pytest.mark.parametrize("topic", TOPIC_CODES, ids=repr)
def test_a_topic_that_names_no_operation_is_refused(topic: str) -> None:
    code = receive(chat(), topic)

    assert code == TOPIC_CODES[topic]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (complete(""), "invalid_field prompt"),
        (complete(["x"]), "invalid_field prompt"),
        (complete("x", messages=[]), "invalid_field messages"),
        (complete("x" * 65_537), TAKEN),
        (chat(), "invalid_field prompt"),
    ],
)
def test_bad_prompts_of_complete_are_refused(payload: bytes, expected: str) -> None:
    code = receive(payload, TOPICS.request("complete"))

    assert code == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", "invalid_field id"),
        (b"{}", "invalid_field id"),
        (b'{"id": "a"}', TAKEN),
        (b'{"id": "a/b"}', "invalid_field id"),
        (b'{"id": "a", "id": "b"}', "invalid_field id"),
        (b'{"id": "a", "all": true}', "invalid_field all"),
        (b"[" * 100_000, "invalid_json"),
        (b"a", "invalid_json"),
    ],
)
def test_a_bad_cancel_is_refused(payload: bytes, expected: str) -> None:
    code = receive(payload, TOPICS.request("cancel"))

    assert code == expected


def test_no_expiry_makes_a_prompt_wait_for_longer_than_answers_are_kept() -> None:
    delivery = Delivery(TOPICS.request("chat"), chat(), expiry_s=4_294_967_295)

    prompt = DOOR.prompt("chat", delivery)

    assert prompt.timeout_s == 7 * 24 * 3600
