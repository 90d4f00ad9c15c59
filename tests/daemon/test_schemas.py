"""Structured output over MQTT, from the request to the answer."""

import pytest
from rig.box import Box, chat
from rig.kinds import StartBox

RECORD = {
    "type": "object",
    "properties": {
        "time": {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}:[0-9]{2}$"},
        "level": {"enum": ["INFO", "WARN", "ERROR"]},
    },
    "required": ["time", "level"],
    "additionalProperties": False,
}


def under(schema: object) -> dict[str, object]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


@pytest.mark.parametrize("variant", ["gguf-cpu", "onnx-cpu-int4"])
def test_the_embedded_model_answers_as_the_schema_says(start_box: StartBox, variant: str) -> None:
    box = start_box(engine={"require": variant, "slots": 2, "context_length": 512})
    line = "Extract JSON: 12:04:11 WARN pump-17 pressure=9.3bar"

    body = box.ending(box.send(chat(line, response_format=under(RECORD), stream=True))).body

    text = '{"time":"12:04:11","level":"WARN"}'
    assert body["choices"][0]["message"] == {"role": "assistant", "content": text}


def test_a_regex_decides_what_is_said(box: Box) -> None:
    request = chat("whatever", response_format={"type": "regex", "regex": "(ok|alarm)"}, deterministic=True)

    body = box.ending(box.send(request)).body

    assert body["choices"][0]["message"]["content"] in ("ok", "alarm")


def test_a_schema_that_can_never_be_fulfilled_fails_alone(box: Box) -> None:
    endless = {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]}
    # The door sees as far as the first choice.
    choice = {"n": {"enum": [1, 2]}, "a": {"$ref": "#/$defs/a"}}
    schema = {"$defs": {"a": endless}, "type": "object", "properties": choice, "required": ["n", "a"]}
    refused, answered = box.send(chat("x", response_format=under(schema))), box.send(chat("hello"))

    endings = box.ending(refused).body, box.ending(answered).body

    assert endings[0]["error"]["code"] == "unsupported_schema"
    assert endings[1]["choices"][0]["message"]["content"] == "hello"


def test_a_refused_schema_is_told_by_keyword_and_field(box: Box) -> None:
    schema = {"type": "array", "uniqueItems": True}

    error = box.ending(box.send(chat("x", response_format=under(schema)))).body["error"]

    assert (error["code"], error["param"]) == ("unsupported_schema", "response_format.json_schema.schema")
    assert "'uniqueItems'" in error["message"]
