"""The door judges `response_format`: what can be enforced is let in, the rest is refused by its name."""

import json
import subprocess
import sys
from typing import Any

import pytest

from agent.wire.errors import InvalidField, PromptError, UnsupportedSchema
from agent.wire.packets import Delivery
from agent.wire.prompt import Grammar
from agent.wire.requests import Door
from agent.wire.schema import MAX_DEPTH
from agent.wire.topics import Topics

TOPICS = Topics("promptd", "box")
DOOR = Door(TOPICS, "demo", 600)
PARAM = "response_format.json_schema.schema"
LOOK_AHEAD = {"type": "string", "pattern": "(?=a)b"}


def _enter(response_format: object) -> Grammar | None:
    body = {"messages": [{"role": "user", "content": "hello"}], "response_format": response_format}
    return DOOR.prompt("chat", Delivery(TOPICS.request("chat"), json.dumps(body).encode())).grammar


def _under(schema: object, **more: object) -> Grammar | None:
    return _enter({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema} | more})


def _nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def _joined(patterns: int) -> dict[str, Any]:
    return {"allOf": [{"type": "string", "pattern": f"a{number}"} for number in range(patterns)]}


def test_free_text_has_no_grammar() -> None:
    grammar = _enter({"type": "text"})

    assert grammar is None


def test_a_json_object_is_a_schema_of_its_own() -> None:
    grammar = _enter({"type": "json_object"})

    assert grammar == Grammar("json_schema", '{"type":"object"}')


def test_the_shape_of_openai_is_understood_with_all_its_fields() -> None:
    grammar = _under(
        {"type": "object", "properties": {"b": {}, "a": {}}}, strict=True, description="an answer"
    )

    assert grammar == Grammar("json_schema", '{"type":"object","properties":{"b":{},"a":{}}}')


def test_an_empty_schema_allows_any_json() -> None:
    grammar = _under({})

    assert grammar == Grammar("json_schema", "{}")


def test_a_regex_is_let_in_as_it_is() -> None:
    grammar = _enter({"type": "regex", "regex": "(yes|no)"})

    assert grammar == Grammar("regex", "(yes|no)")


UNSUPPORTED: list[tuple[Any, str]] = [
    ({"not": {"type": "string"}}, "'not'"),
    ({"if": {"type": "string"}, "then": {"minLength": 1}}, "'if'"),
    ({"type": "array", "uniqueItems": True}, "'uniqueItems'"),
    ({"type": "array", "contains": {"type": "string"}}, "'contains'"),
    ({"type": "object", "minProperties": 2}, "'minProperties'"),
    ({"type": "object", "propertyNames": {"pattern": "a"}}, "'propertyNames'"),
    ({"type": "object", "dependentRequired": {"a": ["b"]}}, "'dependentRequired'"),
    ({"unevaluatedProperties": False}, "'unevaluatedProperties'"),
    ({"type": "string", "contentEncoding": "base64"}, "'contentEncoding'"),
    ({"type": "object", "properties": {"a": {"type": "string", "frobnicate": 1}}}, "#/properties/a"),
    ({"x-guidance": {"lenient": True}, "type": "string"}, "'x-guidance'"),
    ({"type": "frob"}, "frob"),
    ({"type": ["string", 3]}, "'type' must be"),
    ({"type": "string", "format": "frob"}, "'format' must be one of date, "),
    ({"type": "string", "pattern": "("}, "unclosed group"),
    (LOOK_AHEAD, "look-around"),
    ({"type": "string", "minLength": -1}, "'minLength' must be"),
    ({"type": "string", "minLength": 9, "maxLength": 2}, "minLength"),
    ({"type": "integer", "minimum": 5, "maximum": 1}, "minimum"),
    ({"type": "integer", "exclusiveMinimum": True}, "'exclusiveMinimum' must be"),
    ({"enum": []}, "'enum' must be"),
    ({"anyOf": []}, "'anyOf' must be"),
    ({"required": "a"}, "'required' must be"),
    ({"properties": ["a"]}, "'properties' must be"),
    ({"properties": {"a": 3}}, "a schema must be an object"),
    ({"type": "array", "items": [{"type": "string"}]}, "'items' must be one schema"),
    ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "unsatisfiable"),
    ({"oneOf": [{"type": "string"}, {"minLength": 3}]}, "use anyOf"),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "incompatible types"),
    ({"$ref": "#/$defs/a"}, "'#/$defs/a'"),
    ({"$ref": "http://example.com/schema"}, "does not lead to a schema"),
    ({"$ref": "#/default", "default": {"frobnicate": 1}}, "does not lead to a schema"),
    ({"properties": {"a": {"$id": "http://example.com/a"}}}, "'$id'"),
    ({"type": "object", "patternProperties": {"^a": {}, "b$": {}}}, "not disjoint"),
    ({"type": "object", "patternProperties": {f"^{n}": {} for n in range(9)}}, "'patternProperties' must be"),
    (_joined(300), "300 patterns"),
    (_nested(MAX_DEPTH + 1), "nested deeper"),
    ({"enum": ["x" * 70_000]}, "bytes"),
    ({"type": "number", "multipleOf": 0}, "'multipleOf' must be"),
    ({"type": "integer", "multipleOf": 1_000_003}, "'multipleOf' must be"),
    ({"allOf": [{"type": "integer", "multipleOf": 997}, {"multipleOf": 991}]}, "'multipleOf'"),
    ({"$ref": "#"}, "no answer"),
    ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "too many"),
    (
        {"type": "object", "properties": {f"p{n}": {"type": "integer"} for n in range(2000)}},
        "'properties' must be",
    ),
]


@pytest.mark.parametrize(("schema", "named"), UNSUPPORTED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_enforced_is_refused_by_its_name(schema: object, named: str) -> None:
    with pytest.raises(UnsupportedSchema) as refusal:
        _under(schema)

    assert (refusal.value.param, named in refusal.value.message) == (PARAM, True), refusal.value.message


@pytest.mark.parametrize(
    "regex", ["(", "a(?=b)", r"(a)\1", r"a\b", "a$b", "a" * 5000], ids=lambda regex: regex[:10]
)
def test_a_regex_that_cannot_be_followed_is_refused(regex: str) -> None:
    with pytest.raises(UnsupportedSchema) as refusal:
        _enter({"type": "regex", "regex": regex})

    assert refusal.value.param == "response_format.regex"


@pytest.mark.parametrize(
    ("schema", "detail"),
    [(LOOK_AHEAD, "\n"), (LOOK_AHEAD, "(?=a)b\n"), ({"type": "object", "minLength": "a"}, "Parser")],
)
def test_a_refusal_is_one_line_without_the_state_of_a_parser(schema: object, detail: str) -> None:
    with pytest.raises(UnsupportedSchema) as refusal:
        _under(schema)

    assert detail not in refusal.value.message


@pytest.mark.parametrize(
    ("response_format", "param"),
    [
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": {"name": "a"}}, "response_format.json_schema.schema"),
        ({"type": "json_schema", "json_schema": {"schema": True}}, "response_format.json_schema.schema"),
        (
            {"type": "json_schema", "json_schema": {"schema": {}, "rules": 1}},
            "response_format.json_schema.rules",
        ),
        ({"type": "regex"}, "response_format.regex"),
        ({"type": "regex", "regex": ""}, "response_format.regex"),
        ({"type": "text", "regex": "a"}, "response_format.regex"),
        ({"type": "json_object", "json_schema": {"schema": {}}}, "response_format.json_schema"),
        ({"type": "json_object", "schema": {}}, "response_format.schema"),
        ({}, "response_format.type"),
        ("text", "response_format"),
    ],
    ids=str,
)
def test_a_format_of_the_wrong_shape_is_an_invalid_field(response_format: object, param: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        _enter(response_format)

    assert refusal.value.param == param


def test_an_unknown_kind_of_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnsupportedSchema, match="json_object, json_schema, regex") as refusal:
        _enter({"type": "grammar"})

    assert refusal.value.param == "response_format.type"


@pytest.mark.parametrize(
    "schema",
    [
        _nested(MAX_DEPTH),
        _joined(6),
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "a", "title": "t", "default": 1},
        {"$defs": {"a/b~c": {"type": "null"}}, "$ref": "#/$defs/a~1b~0c"},
        {
            "definitions": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
            "properties": {"a": {"$ref": "#"}},
        },
        {"enum": [1, "a", None, [1, {"a": True}]]},
        {"properties": {"uniqueItems": {"const": {"not": 1}}}, "required": ["uniqueItems"]},
        {"type": "object", "additionalProperties": {"type": ["string", "null"]}, "maxProperties": 3},
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_what_can_be_enforced_is_let_in(schema: object) -> None:
    grammar = _under(schema)

    assert grammar is not None


@pytest.mark.parametrize(
    "field",
    [{"min_p": 1.1}, {"min_p": -0.1}, {"repetition_penalty": 0.09}, {"repetition_penalty": 10.1}],
    ids=str,
)
def test_a_sampling_field_out_of_range_is_refused(field: dict[str, Any]) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}]} | field

    with pytest.raises(PromptError) as refusal:
        DOOR.prompt("chat", Delivery(TOPICS.request("chat"), json.dumps(body).encode()))

    assert refusal.value.param == next(iter(field))


def test_sampling_and_determinism_reach_the_prompt() -> None:
    body = {"prompt": "hello", "min_p": 0.05, "repetition_penalty": 1.1, "deterministic": True}

    prompt = DOOR.prompt("complete", Delivery(TOPICS.request("complete"), json.dumps(body).encode()))

    assert (prompt.sampling.min_p, prompt.sampling.repetition_penalty, prompt.deterministic) == (
        0.05,
        1.1,
        True,
    )


def test_the_grammar_library_is_loaded_with_the_first_schema_only() -> None:
    payloads = [
        json.dumps({"prompt": "hello", "response_format": wanted}).encode()
        for wanted in ({"type": "text"}, {"type": "regex", "regex": "a"})
    ]
    program = f"""
import sys
from agent.wire.packets import Delivery
from agent.wire.requests import Door
from agent.wire.topics import Topics
door = Door(Topics("promptd", "box"), "demo", 600)
for payload in {payloads!r}:
    door.prompt("complete", Delivery("request/complete", payload))
    print("llguidance" in sys.modules)
"""

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)

    assert done.stdout.split() == [b"False", b"True"]
