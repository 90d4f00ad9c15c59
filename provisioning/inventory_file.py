"""Reads `fleet.yaml`: every mistake becomes one line with its place, and all of them come at once."""

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from agent.wire.errors import ConfigError
from provisioning.inventory import Inventory
from provisioning.inventory_rules import Fault, Place, faults
from provisioning.nearest import hint

try:
    import yaml
except ImportError as error:  # boxes have no need of it
    raise ConfigError(
        'the fleet tools need PyYAML; install them with: pip install "promptd[fleet]"'
    ) from error

MAX_BYTES = 16 * 1024 * 1024
PLACEHOLDERS: dict[str, dict[str, Any]] = {"broker": {"url": "mqtts://placeholder"}}
"""What stands in for a part that is wrong, while the rest is looked at."""


@dataclass(frozen=True, slots=True)
class Line:
    """One mistake in the file."""

    file: str
    number: int
    place: str
    message: str

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{self.file}:{self.number}: {where}{self.message}"


class InventoryError(ConfigError):
    """The inventory cannot be used as it is."""

    def __init__(self, lines: tuple[Line, ...]) -> None:
        super().__init__("\n".join(map(str, lines)))
        self.lines = lines


def read_inventory(path: Path) -> Inventory:
    """Read and check an inventory.

    Raises:
        InventoryError: with every mistake in it, in the order of the lines.
        ConfigError: the file cannot be read.
    """
    sheet = _Sheet()
    try:
        root = yaml.compose(_text(path), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        number = mark.line + 1 if mark else 1
        raise InventoryError(
            (Line(path.name, number, "", f"not valid YAML: {error.problem}; mend this line"),)
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    data = sheet.value(root, ()) if root else {}
    inventory, found = _checked(data)
    every = {*sheet.faults, *found}
    if every or inventory is None:
        lines = {Line(path.name, sheet.line(each.place), _dotted(each.place), each.message) for each in every}
        raise InventoryError(tuple(sorted(lines, key=lambda line: (line.number, line.place))))
    return inventory


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_BYTES} bytes; split the fleet")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no {path}; make one: promptd-fleet init, or name yours with --inventory"
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8; save it as UTF-8") from error


class _Sheet:
    """The file as plain values, with the line of each."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._lines: dict[Place, int] = {(): 1}
        self._scalars = yaml.SafeLoader("")
        self._open: set[int] = set()

    def line(self, place: Place) -> int:
        """Return the line of a place, or of the nearest thing around it."""
        while place not in self._lines:
            place = place[:-1]
        return self._lines[place]

    def value(self, node: yaml.Node, place: Place) -> Any:  # noqa: ANN401 -- what YAML holds
        """Return what a node holds; sequences become tuples."""
        self._lines.setdefault(place, node.start_mark.line + 1)
        if id(node) in self._open:
            self.faults.append(Fault(place, "an alias holds itself; write the value out"))
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, place)
            if isinstance(node, yaml.SequenceNode):
                return tuple(self.value(child, (*place, index)) for index, child in enumerate(node.value))
            return self._scalar(node, place)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, child in node.value:
            name = self._scalar(key, place) if isinstance(key, yaml.ScalarNode) else None
            line = key.start_mark.line + 1
            if not isinstance(name, str):
                spot = (*place, str(key.value))
                self._lines.setdefault(spot, line)
                self.faults.append(Fault(spot, "a name must be text; put it in quotes"))
                continue
            inner = (*place, name)
            if name in found:
                first = self._lines[inner]
                self.faults.append(
                    Fault((*place, f"{name} (again)"), f"stands in line {first} already; keep one")
                )
                self._lines[(*place, f"{name} (again)")] = line
                continue
            self._lines[inner] = line
            found[name] = self.value(child, inner)
        return found

    def _scalar(self, node: yaml.Node, place: Place) -> Any:  # noqa: ANN401 -- what YAML holds
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            self.faults.append(Fault(place, f"cannot be understood ({error}); put text in quotes"))
            return None


def _checked(data: Any) -> tuple[Inventory | None, list[Fault]]:  # noqa: ANN401 -- what YAML holds
    """Return the inventory, or what is wrong with each part and, where parts are right, between them."""
    if not isinstance(data, dict):
        return None, [Fault((), "must be a table with broker, devices and so on; see promptd-fleet init")]
    try:
        inventory = Inventory.model_validate(data)
    except ValidationError as error:
        found = [_fault(detail) for detail in error.errors()]
        rest = _without(data, [each.place for each in found])
        try:
            between = list(faults(Inventory.model_validate(rest)))
        except ValidationError:
            between = []
        return None, [*found, *between]
    found = list(faults(inventory))
    return (None if found else inventory), found


def _without(data: dict[str, Any], places: list[Place]) -> dict[str, Any]:
    """Return the data without what is wrong by itself, so that the rest can be compared."""
    rest = {name: dict(part) if isinstance(part, dict) else part for name, part in data.items()}
    for place in places:
        top, entry = str(place[0]) if place else "", str(place[1]) if len(place) > 1 else ""
        part = rest.get(top)
        if top in ("groups", "devices", "clients", "claims") and isinstance(part, dict) and entry:
            part[entry] = {}
            if top == "claims" or entry not in data[top] or "[key]" in map(str, place):
                del part[entry]
        else:
            rest.pop(top, None)
    return {**PLACEHOLDERS, **rest}


def _fault(detail: Any) -> Fault:  # noqa: ANN401 -- pydantic's ErrorDetails
    place: Place = tuple(detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        wish = hint(str(place[-1]), _fields_at(Inventory, place[:-1]))
        return Fault(place, f"unknown key; {wish or 'remove it'}")
    if place and place[-1] == "[key]":
        return Fault(place[:-1], message)
    if detail["type"] == "missing":
        return Fault(place, "is missing; write it here")
    if detail["type"] == "string_type":
        return Fault(place, "must be text; put it in quotes")
    return Fault(place, message)


def _fields_at(model: type[BaseModel], place: Place) -> Iterator[str]:
    """Return the keys that the file knows at a place."""
    for step in place:
        if isinstance(step, str) and step in model.model_fields:
            inner = _model_in(model.model_fields[step].annotation)
            if inner is None:
                return
            model = inner
    yield from model.model_fields


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 -- any type hint
    """Return the model that a field holds, alone or as the value of a table or list."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    found = (_model_in(each) for each in typing.get_args(annotation))
    return next((each for each in found if each), None)


def _dotted(place: Place) -> str:
    return ".".join(str(level) for level in place)
