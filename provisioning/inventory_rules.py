"""The rules between the parts of an inventory: names, serials, groups, and settings that an agent takes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from agent.settings import Settings
from provisioning.device_settings import overlaid, settings_faults
from provisioning.inventory import Client, Inventory, SettingsTable, Wave, claim_user, is_name
from provisioning.nearest import hint

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where."""

    place: Place
    message: str


def faults(inventory: Inventory) -> Iterator[Fault]:
    """Return everything that is wrong between parts which are right by themselves."""
    yield from _names(inventory)
    yield from _twice(inventory, "serial")
    yield from _twice(inventory, "address")
    yield from _groups(inventory)
    yield from _schedule(inventory)
    yield from _settings(inventory)


def _names(inventory: Inventory) -> Iterator[Fault]:
    for name in inventory.clients.keys() & inventory.devices.keys():
        yield Fault(
            ("clients", name), "is also the name of a device; the broker tells users by name, so rename one"
        )
    for name in inventory.claims:
        if not is_name(claim_user(name)):
            yield Fault(("claims", name), f"is too long; with 64 letters for {claim_user('')} and the name")


def _twice(inventory: Inventory, what: str) -> Iterator[Fault]:
    """Return which devices say the same of what tells one box from another."""
    owners: dict[str, str] = {}
    for name, device in inventory.devices.items():
        said = getattr(device, what)
        first = owners.setdefault(said, name) if said else name
        if first != name:
            words = f"is also the {what} of {first}; look at both boxes and mend one"
            yield Fault(("devices", name, what), words)


def _groups(inventory: Inventory) -> Iterator[Fault]:
    for name, device in inventory.devices.items():
        yield from _known(device.group, inventory.groups, ("devices", name, "group"), "group")
    for name, claim in inventory.claims.items():
        yield from _known(claim.group, inventory.groups, ("claims", name, "group"), "group")
    chosen: list[tuple[Place, Client | Wave]] = []
    chosen += [(("clients", name), client) for name, client in inventory.clients.items()]
    chosen += [(("schedule", "waves", index), wave) for index, wave in enumerate(inventory.schedule.waves)]
    for place, part in chosen:
        for index, group in enumerate(part.groups):
            yield from _known(group, inventory.groups, (*place, "groups", index), "group")
        for index, device_name in enumerate(part.devices):
            if not inventory.claims:  # else it may be one that enrols itself
                yield from _known(device_name, inventory.devices, (*place, "devices", index), "device")


def _known(name: str, known: dict[str, Any], place: Place, kind: str) -> Iterator[Fault]:
    if name and name not in known:
        wish = f"write it under {kind}s" if not hint(name, known) else hint(name, known)
        yield Fault(place, f"there is no {kind} {name!r}; {wish}")


def _schedule(inventory: Inventory) -> Iterator[Fault]:
    for name, window in inventory.schedule.windows.items():
        place = ("schedule", "windows", name)
        if window.begin == window.end:
            yield Fault((*place, "end"), "must differ from begin; leave the window out to work at any time")
        try:
            ZoneInfo(window.zone)
        except (ValueError, KeyError, OSError):
            yield Fault((*place, "zone"), f"{window.zone!r} is no time zone; write one like Europe/Berlin")
    seen = Counter(group for wave in inventory.schedule.waves for group in set(wave.groups))
    for index, wave in enumerate(inventory.schedule.waves):
        for number, group in enumerate(wave.groups):
            if seen[group] > 1 and wave.share == 1 and index:
                spot: Place = ("schedule", "waves", index, "groups", number)
                yield Fault(spot, f"group {group!r} is in another wave too; name each group in one wave")


def _settings(inventory: Inventory) -> Iterator[Fault]:
    """Check what every device would be told, and blame the layer in which the fault was written."""
    top: list[tuple[Place, SettingsTable]] = [(("settings",), inventory.settings)]
    yield from _of_layers(top)
    for name, group in inventory.groups.items():
        yield from _of_layers([*top, (("groups", name, "settings"), group.settings)])
    for name, device in inventory.devices.items():
        group_layer = (
            [(("groups", device.group, "settings"), inventory.groups[device.group].settings)]
            if device.group in inventory.groups
            else []
        )
        layers: list[tuple[Place, SettingsTable]] = [*top]
        layers += group_layer
        yield from _of_layers([*layers, (("devices", name, "settings"), device.settings)])


def _of_layers(layers: list[tuple[Place, SettingsTable]]) -> Iterator[Fault]:
    """Return the faults of the last layer on top of the others; the others have told theirs already."""
    place, own = layers[-1]
    for inner, kind, message in settings_faults(overlaid(*(table for _, table in layers))):
        if not _written_in(own, inner):
            continue
        if kind == "extra_forbidden":
            wish = hint(inner[-1], _siblings(inner))
            unknown = f"the agent has no such setting; {wish or 'docs/operating.md lists them all'}"
            yield Fault((*place, *inner), unknown)
        else:
            yield Fault((*place, *inner), message)


def _written_in(table: Any, place: tuple[str, ...]) -> bool:  # noqa: ANN401 -- what YAML holds
    """Tell whether this table holds the value at a place, or the beginning of the way to it."""
    for level in place:
        if not isinstance(table, dict):
            return True
        if level not in table:
            return False
        table = table[level]
    return True


def _siblings(place: tuple[str, ...]) -> list[str]:
    """Return the settings that stand where an unknown one was written."""
    if len(place) == 1:
        return [*Settings.model_fields]
    section = Settings.model_fields[place[0]].annotation
    return [*getattr(section, "model_fields", {})]
