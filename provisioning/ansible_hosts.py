"""Our inventory in Ansible's words: one host a device with an address, one group a group."""

from typing import Any
from urllib.parse import urlsplit

from provisioning.bundle import settings_file
from provisioning.fleet import Fleet

UNGROUPED = "ungrouped"


def hosts(fleet: Fleet) -> dict[str, Any]:
    """Return the inventory as Ansible reads it from JSON or YAML."""
    groups: dict[str, dict[str, Any]] = {}
    for name, device in fleet.inventory.devices.items():
        if device.address:
            group = groups.setdefault(_group_name(device.group), {"hosts": {}})
            group["hosts"][name] = _host(fleet, name, device.address)
    return {"all": {"children": groups}}


def _host(fleet: Fleet, name: str, address: str) -> dict[str, Any]:
    where = urlsplit(f"ssh://{address}")
    found: dict[str, Any] = {"ansible_host": where.hostname or ""}
    if where.username:
        found["ansible_user"] = where.username
    if where.port:
        found["ansible_port"] = where.port
    return {**found, "promptd_device": name, "promptd_settings": settings_file(fleet.inventory, name)}


def _group_name(group: str) -> str:
    """Return a name that Ansible takes: letters, digits and '_'."""
    return "".join(each if each.isalnum() else "_" for each in group) or UNGROUPED
