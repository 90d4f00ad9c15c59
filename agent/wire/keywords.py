"""The keywords of JSON Schema that can be enforced, and what may stand behind each."""

from collections.abc import Callable, Mapping
from decimal import Decimal

MAX_PATTERN_PROPERTIES = 8
"""Of one object: every two are compared, at up to a millisecond and more."""
MAX_STEP = 9999
"""Of `multipleOf` without its powers of ten, and of all of them multiplied where constraints are joined: the
library remembers as many remainders."""
MAX_COUNT = 1_000_000_000
MAX_NAMED = 1024
"""Schemas with names in one place: properties of an object, or definitions."""

ANNOTATIONS = {
    "$schema", "$id", "$comment", "title", "description", "default", "examples", "readOnly", "writeOnly",
    "deprecated",
}  # fmt: skip
FORMATS = {
    "date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid",
}  # fmt: skip
ONE_SCHEMA = {"items", "additionalProperties"}
SCHEMA_LISTS = {"anyOf", "oneOf", "allOf", "prefixItems"}
NAMED_SCHEMAS = {"properties", "patternProperties", "$defs", "definitions"}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def step_digits(value: float) -> int:
    """Return the digits of a number without its powers of ten: 5 of 0.05, and of 500."""
    digits = Decimal(str(value)).normalize().as_tuple().digits
    return int("".join(map(str, digits)))


def is_step(value: object) -> bool:
    """Tell whether a value can stand behind `multipleOf`."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and value > 0
        and step_digits(value) <= MAX_STEP
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_type(value: object) -> bool:
    return _is_text(value) or (_are_texts(value) and bool(value))


def _are_values(value: object) -> bool:
    return isinstance(value, list) and bool(value)


def _is_format(value: object) -> bool:
    return isinstance(value, str) and value in FORMATS


def _is_schema(value: object) -> bool:
    return isinstance(value, dict | bool)


def _are_named(value: object) -> bool:
    return isinstance(value, dict) and len(value) <= MAX_NAMED


def _are_few_patterns(value: object) -> bool:
    return isinstance(value, dict) and len(value) <= MAX_PATTERN_PROPERTIES


COUNT = (_is_count, f"a whole number from 0 to {MAX_COUNT}")
NUMBER, TEXT = (_is_number, "a number"), (_is_text, "a string")
SCHEMA = (_is_schema, "one schema")
SCHEMAS = (_are_values, "a list of at least one schema")
NAMED = (_are_named, f"an object of at most {MAX_NAMED} schemas")
KEYWORDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "$ref": TEXT,
    "type": (_is_type, "the name of a type, or a list of names"),
    "enum": (_are_values, "a list of at least one value"),
    "const": (lambda _: True, "a value"),
    "required": (_are_texts, "a list of names"),
    "maxProperties": COUNT,
    "minItems": COUNT,
    "maxItems": COUNT,
    "minLength": COUNT,
    "maxLength": COUNT,
    "pattern": TEXT,
    "format": (_is_format, f"one of {', '.join(sorted(FORMATS))}"),
    "minimum": NUMBER,
    "maximum": NUMBER,
    "exclusiveMinimum": NUMBER,
    "exclusiveMaximum": NUMBER,
    "multipleOf": (is_step, "above 0, with at most four digits that are no leading or closing zeros"),
    "items": SCHEMA,
    "additionalProperties": SCHEMA,
    "anyOf": SCHEMAS,
    "oneOf": SCHEMAS,
    "allOf": SCHEMAS,
    "prefixItems": SCHEMAS,
    "properties": NAMED,
    "$defs": NAMED,
    "definitions": NAMED,
    "patternProperties": (_are_few_patterns, f"an object of at most {MAX_PATTERN_PROPERTIES} schemas"),
}
