"""Which JSON schemas are enforced: every keyword is known here, or the schema is refused by its name.

The grammar library ignores keywords that it has never heard of; an answer would then break a rule that its
requester wrote down. It also takes minutes or gigabytes for some small schemas; the limits here keep
them out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from agent.wire.errors import SHOWN_CHARACTERS
from agent.wire.keywords import (
    ANNOTATIONS,
    KEYWORDS,
    MAX_STEP,
    NAMED_SCHEMAS,
    ONE_SCHEMA,
    SCHEMA_LISTS,
    is_step,
    step_digits,
)

MAX_DEPTH = 32
"""Schemas inside schemas; deeper ones end the library's recursion, and nobody's reading."""
MAX_JOINED_PATTERNS = 6
"""Patterns and formats of a schema that joins constraints: the work doubles with each."""
JOINING = {"allOf", "anyOf", "oneOf", "$ref"}
"""Keywords whose schemas hold together with what stands beside them."""


class Fault(NamedTuple):
    """Why a schema cannot be enforced."""

    place: str
    """JSON pointer of the schema at fault."""
    reason: str


def fault_of(schema: Mapping[str, Any]) -> Fault | None:
    """Return the first thing in a schema that promptd does not enforce; None when it knows everything."""
    survey = _Survey()
    return next(survey.faults(schema, "#", 0), None) or survey.fault_of_the_whole()


@dataclass(slots=True)
class _Survey:
    """One walk through a schema, and what it has seen."""

    places: set[str] = field(default_factory=set)
    references: list[tuple[str, str]] = field(default_factory=list)
    patterns: int = 0
    steps: int = 1
    """All `multipleOf` multiplied."""
    joins: bool = False

    def faults(self, schema: object, place: str, depth: int) -> Iterator[Fault]:
        self.places.add(place)
        if isinstance(schema, bool):
            return
        if not isinstance(schema, dict):
            yield Fault(place, "a schema must be an object, true or false")
            return
        if depth > MAX_DEPTH:
            yield Fault(place, f"it is nested deeper than {MAX_DEPTH} schemas; make it flatter, or use $ref")
            return
        self._note(schema, place)
        for keyword, value in schema.items():
            if reason := _wrong(keyword, value, is_root=depth == 0):
                yield Fault(place, reason)
                return
            for step, inner in _inner_schemas(keyword, value):
                yield from self.faults(inner, f"{place}/{step}", depth + 1)

    def fault_of_the_whole(self) -> Fault | None:
        for place, reference in self.references:
            if reference not in self.places:
                asked = reference[:SHOWN_CHARACTERS]
                return Fault(place, f"$ref {asked!r} does not lead to a schema inside this schema")
        if self.joins and self.patterns > MAX_JOINED_PATTERNS:
            return Fault(
                "#",
                f"{self.patterns} patterns and formats in a schema that joins constraints by allOf, or by "
                f"anyOf, oneOf or $ref beside other keywords; at most {MAX_JOINED_PATTERNS} can be enforced",
            )
        if self.joins and self.steps > MAX_STEP:
            return Fault("#", "several 'multipleOf' in a schema that joins constraints; use one")
        return None

    def _note(self, schema: Mapping[str, Any], place: str) -> None:
        constraints = schema.keys() - ANNOTATIONS - {"$defs", "definitions"}
        self.joins |= bool(constraints & JOINING) and len(constraints) > 1
        self.joins |= len(schema.get("allOf") or ()) > 1
        self.patterns += len(constraints & {"pattern", "format"})
        if is_step(schema.get("multipleOf")):
            self.steps *= step_digits(schema["multipleOf"])
        if isinstance(schema.get("$ref"), str):
            self.references.append((place, schema["$ref"]))


def _wrong(keyword: str, value: object, *, is_root: bool) -> str:
    """Return what is wrong with a keyword; empty when it can be enforced or says nothing about answers."""
    if keyword in ANNOTATIONS:
        is_misplaced = keyword == "$id" and not is_root
        return "keyword '$id' is understood at the top of the schema only; remove it" if is_misplaced else ""
    if keyword not in KEYWORDS:
        return f"keyword {keyword!r} cannot be enforced here; remove it"
    is_right, wanted = KEYWORDS[keyword]
    return "" if is_right(value) else f"keyword {keyword!r} must be {wanted}"


def _inner_schemas(keyword: str, value: Any) -> Iterator[tuple[str, object]]:  # noqa: ANN401 -- any JSON
    """Yield the schemas below a keyword, each with its way there as in a JSON pointer."""
    if keyword in ONE_SCHEMA:
        yield keyword, value
    elif keyword in SCHEMA_LISTS:
        for number, inner in enumerate(value):
            yield f"{keyword}/{number}", inner
    elif keyword in NAMED_SCHEMAS:
        for name, inner in value.items():
            yield f"{keyword}/{name.replace('~', '~0').replace('/', '~1')}", inner
