"""The settings of one device: those of the fleet, its group and its own, merged, checked, written as TOML.

What is written is what was set: everything else is the agent's default, which a newer agent may change.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from agent.settings import Settings
from provisioning.inventory import Inventory, SettingsTable

FROM_THE_INVENTORY = {
    ("device_id",): "it is the name of the device",
    ("state_dir",): "the certificate that comes with these settings lies there already",
    ("identity", "folder"): "the certificate that comes with these settings lies there already",
    ("identity", "claim_cert_file"): "the box has its claim before it has these settings",
    ("identity", "claim_key_file"): "the box has its claim before it has these settings",
    ("identity", "token_file"): "the box has its token before it has these settings",
    ("identity", "serial"): "the box says it before it has these settings",
    ("broker", "url"): "it is broker.url of the inventory",
    ("broker", "root"): "it is broker.root of the inventory",
    ("broker", "cert_file"): "the box keeps its certificate in its identity folder",
    ("broker", "key_file"): "the box keeps its key in its identity folder",
    ("broker", "ca_file"): "it comes with the certificate; a foreign one is broker.ca_file of the inventory",
}
"""Settings that must stand nowhere else, and why."""


class _OnlyWhatIsGiven(Settings):
    """The agent's settings without the variables of the operator's own shell."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- pydantic's signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def settings_of(inventory: Inventory, device: str, group: str = "") -> SettingsTable:
    """Return what a device is told, as nested tables; `group` is for one that the inventory does not name."""
    entry = inventory.devices.get(device)
    of_group = inventory.groups.get(entry.group if entry else group)
    layers = (inventory.settings, of_group.settings if of_group else {}, entry.settings if entry else {})
    merged = overlaid(*layers)
    where = {"url": inventory.broker.url, "root": inventory.broker.root}
    return {"device_id": device, **merged, "broker": {**where, **merged.get("broker", {})}}


def overlaid(*tables: SettingsTable) -> SettingsTable:
    """Return all tables in one; of a key that stands in several, the value of the last."""
    whole: SettingsTable = {}
    for table in tables:
        for key, value in table.items():
            old = whole.get(key)
            whole[key] = overlaid(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return whole


def settings_faults(table: SettingsTable) -> list[tuple[tuple[str, ...], str, str]]:
    """Return what the agent would refuse: where, pydantic's kind of error (or ''), and why."""
    taken = [(place, "", f"must not be set here: {why}") for place, why in FROM_THE_INVENTORY.items()]
    faults = [fault for fault in taken if _holds(table, fault[0])]
    faults += [(place, "", why) for place, why in _unwritable(table)]
    try:
        _OnlyWhatIsGiven(**table)
    except ValidationError as error:
        faults += [
            (tuple(str(level) for level in detail["loc"]), detail["type"], detail["msg"])
            for detail in error.errors()
        ]
    except TypeError:
        faults.append(((), "", "must be a table of settings as in promptd.toml"))
    return faults


def _unwritable(table: SettingsTable, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Return what cannot be written as TOML, or not by `toml`."""
    for key, value in table.items():
        here = (*place, str(key))
        if value is None:
            yield here, "must have a value; leave the line out for the default"
        elif isinstance(value, float) and not math.isfinite(value):
            yield here, "must be a finite number"
        elif isinstance(value, dict):
            yield from _unwritable(value, here)


def toml(table: SettingsTable) -> str:
    """Write settings as TOML: plain values first, then one table a section."""
    plain = [_row(key, value) for key, value in table.items() if not isinstance(value, dict)]
    sections = [
        ["", f"[{_key(name)}]", *(_row(key, value) for key, value in section.items())]
        for name, section in table.items()
        if isinstance(section, dict) and section
    ]
    return "\n".join([*plain, *(row for section in sections for row in section)]).lstrip("\n") + "\n"


def _holds(table: SettingsTable, place: tuple[str, ...]) -> bool:
    value: Any = table
    for level in place:
        if not isinstance(value, dict) or level not in value:
            return False
        value = value[level]
    return True


def _row(key: str, value: Any) -> str:  # noqa: ANN401 -- what YAML holds
    return f"{_key(key)} = {_value(value)}"


def _key(key: str) -> str:
    return key if key.replace("_", "a").isalnum() and key.isascii() else _value(key)


def _value(value: Any) -> str:  # noqa: ANN401 -- what YAML holds
    if isinstance(value, tuple | list):
        return f"[{', '.join(_value(each) for each in value)}]"
    # A JSON string is a TOML string, but for DEL, which TOML wants escaped too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
