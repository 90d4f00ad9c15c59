"""What is wrong with a field, in words of this contract instead of the validation library's."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

SENTENCES = {
    "missing": "is missing",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "literal_error": "must be {expected}",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must hold {min_length} or more",
    "too_long": "must hold {max_length} or fewer",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must be 1 to 64 letters, digits, '_', '.' or '-'",
}
"""By pydantic's name of the error; the braces are its context."""


def sentence(detail: ErrorDetails) -> str:
    """Return what stands after the name of the field."""
    known = SENTENCES.get(detail["type"])
    context: Mapping[str, Any] = detail.get("ctx", {})
    return known.format(**context) if known else detail["msg"]
