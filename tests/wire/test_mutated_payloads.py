"""Thousands of damaged requests: each is taken or refused by name, whatever happened to it.

`PAYLOADS=1000000 .venv/bin/python -m pytest tests/wire/test_mutated_payloads.py` runs through as many.
"""

import json
import os
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from agent.wire.envelope import check_envelope
from agent.wire.errors import PromptError
from agent.wire.packets import Delivery
from agent.wire.prompt import Prompt
from agent.wire.requests import Door, claimed_id
from agent.wire.topics import Topics

COUNT = int(os.environ.get("PAYLOADS", "10000"))
TOPICS = Topics("promptd", "box")
DOOR = Door(TOPICS, "demo", 600)

MESSAGES = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hé <|end|> \u2028"}]
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string", "maxLength": 9}, "b": {"enum": [1, None, "x"]}},
    "required": ["a"],
    "additionalProperties": False,
}
WHOLE: list[dict[str, Any]] = [
    {"messages": MESSAGES, "id": "a", "seed": 7, "stop": ["x", "y"], "temperature": 0.5, "timeout_s": 60},
    {"prompt": "hello", "max_tokens": 5, "top_p": 0.9, "top_k": 40, "min_p": 0.1, "stream": True},
    {"messages": MESSAGES, "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
    {"prompt": "x", "response_format": {"type": "regex", "regex": "[a-z]{1,9}"}, "priority": "batch"},
]
WORDS = (
    b"NaN", b"1e999", b"-0", b"null", b"true", b'""', b"[]", b"{}", b"\\u0000", b"\\ud800", b"\xff",
    b"\xed\xa0\x80", b"9" * 400, b"[" * 40, b'{"a":' * 40, b'"schema":', b'"id":', b",", b":",
    b"\xef\xbb\xbf", b"\0", b"\\",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1 << 63, 1 << 64, 1e308, -0.0, float("nan"), float("inf"), "", "\0", "x" * 300, [], {},
    [[]], {"type": "json_schema"}, {"$ref": "#"}, [None] * 300, {"k" * 300: 1},
    dict.fromkeys(map(str, range(70))),
)  # fmt: skip


def damaged_bytes(chance: random.Random, whole: dict[str, Any]) -> bytes:
    content = bytearray(json.dumps(whole, ensure_ascii=chance.random() < 0.5).encode())
    for _ in range(chance.randint(1, 4)):
        at, size = chance.randrange(len(content) + 1), chance.randint(0, 12)
        content[at : at + size] = chance.choice(
            (chance.choice(WORDS), chance.randbytes(size), content[at : at + size] * 2, b"")
        )
    return bytes(content)


def damaged_values(chance: random.Random, whole: dict[str, Any]) -> bytes:
    content = json.loads(json.dumps(whole))
    for _ in range(chance.randint(1, 3)):
        place = content
        while isinstance(place, dict | list) and place and chance.random() < 0.7:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = chance.choice(keys)
            if chance.random() < 0.4 or not isinstance(place[key], dict | list):
                place[key] = deepcopy(chance.choice(VALUES))
                break
            place = place[key]
        if isinstance(place, dict) and chance.random() < 0.2:
            place[chance.choice(("id", "schema", "__class__", "", "$defs"))] = deepcopy(chance.choice(VALUES))
    return json.dumps(content).encode()


@pytest.mark.parametrize("damage", [damaged_bytes, damaged_values])
def test_a_damaged_request_is_taken_or_refused_by_name(
    damage: Callable[[random.Random, dict[str, Any]], bytes],
) -> None:
    chance = random.Random(11)  # noqa: S311 -- repeatable, not secret
    outcomes: set[str] = set()

    for _ in range(COUNT // 2):
        whole = chance.choice(WHOLE)
        payload = damage(chance, whole)
        content_type = chance.choice((None, "application/json"))
        delivery = Delivery(TOPICS.request("chat"), payload, content_type=content_type)
        try:
            check_envelope(delivery, 262_144)
            outcome: Prompt | PromptError = DOOR.prompt(
                "chat" if "messages" in whole else "complete", delivery
            )
        except PromptError as error:
            outcome = error
            assert len(error.message) < 2000  # noqa: PT017 -- some are taken, most are refused
        outcomes.add(type(outcome).__name__)
        assert claimed_id(payload) is None or payload

    assert outcomes >= {"Prompt", "InvalidJson", "InvalidField", "UnsupportedSchema"}
