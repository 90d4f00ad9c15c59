"""Reads JSON within limits, before anybody asks what its fields mean."""

import json
from typing import Any

from pydantic_core import from_json

from agent.wire.errors import SHOWN_CHARACTERS, InvalidField, InvalidJson

MAX_DEPTH = 32
"""Objects and lists inside each other; the deepest field, a schema apart, is at 4."""
MAX_KEYS = 64
"""Of one object; a request has about 20 fields."""
MAX_KEY_CHARACTERS = 256
MAX_ITEMS = 256
"""Of a list, a schema apart; a longer one is no field, so that nobody looks into it."""
SCHEMA = "schema"
"""What stands below this key is judged by `schema.py`, which knows where depth and size come from."""
CONTAINERS = (dict, list)


def read_object(payload: bytes) -> dict[str, Any]:
    """Return the JSON object that a payload is.

    Raises:
        InvalidJson: it is no JSON object, or deeper or wider than any request.
        InvalidField: a key is too long.
    """
    try:
        content = from_json(payload)
    except ValueError as error:
        raise InvalidJson(f"the payload is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise InvalidJson("the payload must be a JSON object")
    level: list[object] = [content]
    for _ in range(MAX_DEPTH):
        level = [inner for value in level for inner in _inner(value)]
        if not level:
            return content
    raise InvalidJson(f"the payload is nested deeper than {MAX_DEPTH} levels; no field needs that")


def refuse_repeated_keys(payload: bytes) -> None:
    """Of two equal keys JSON readers take one or the other: nobody could tell what was asked.

    Raises:
        InvalidField: a key stands twice in an object, or is too long.
    """
    json.loads(payload, object_pairs_hook=_distinct)


def _inner(value: object) -> list[object]:
    """Return the objects and lists that stand directly in one and hold something."""
    if isinstance(value, list) and len(value) <= MAX_ITEMS:
        return [inner for inner in value if inner and isinstance(inner, CONTAINERS)]
    if not isinstance(value, dict):
        return []
    if len(value) > MAX_KEYS:
        raise InvalidJson(f"an object of the payload has {len(value)} keys; at most {MAX_KEYS} are allowed")
    for key in value:
        _refuse_long(key)
    return [each for key, each in value.items() if each and key != SCHEMA and isinstance(each, CONTAINERS)]


def _distinct(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        _refuse_long(key)
        if key in seen:
            raise InvalidField(f"field {key!r} stands there twice; send it once", param=key)
        seen.add(key)


def _refuse_long(key: str) -> None:
    if len(key) > MAX_KEY_CHARACTERS:
        raise InvalidField(
            f"a field has a name of {len(key)} characters; at most {MAX_KEY_CHARACTERS} are allowed",
            param=key[:SHOWN_CHARACTERS],
        )
