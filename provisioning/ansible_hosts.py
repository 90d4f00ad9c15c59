"""Our inventory in Ansible's words: one host a device with an address, one group a group.

Secrets are named by their path, none is printed. A token is made by `promptd-fleet token`, for whoever asks.
"""

import time
from typing import Any
from urllib.parse import urlsplit

from agent.wire.errors import ConfigError
from provisioning.bundle import settings_file
from provisioning.claims import CERTIFICATE, KEY
from provisioning.facts import trusted_file
from provisioning.fleet import Fleet

UNGROUPED = "ungrouped"


def hosts(fleet: Fleet) -> dict[str, Any]:
    """Return the inventory as Ansible reads it from JSON or YAML.

    Raises:
        ConfigError: there is no authority yet that boxes could trust.
    """
    authority = trusted_file(fleet)
    if not authority.exists():
        raise ConfigError(f"there is no {authority} for boxes to trust; run promptd-fleet apply first")
    now_s = time.time()
    certified = {each.holder for each in fleet.registry.certificates() if each.is_good(now_s)}
    groups: dict[str, dict[str, Any]] = {}
    for name, device in fleet.inventory.devices.items():
        if device.address:
            group = groups.setdefault(_group_name(device.group), {"hosts": {}})
            claim = {} if name in certified else _claim(fleet, name)
            group["hosts"][name] = _host(fleet, name, device.address) | claim
    return {"all": {"vars": {"promptd_ca_file": str(authority)}, "children": groups}}


def _host(fleet: Fleet, name: str, address: str) -> dict[str, Any]:
    where = urlsplit(f"ssh://{address}")
    found: dict[str, Any] = {"ansible_host": where.hostname or ""}
    if where.username:
        found["ansible_user"] = where.username
    if where.port:
        found["ansible_port"] = where.port
    return {**found, "promptd_settings": settings_file(fleet.inventory, name)}


def _claim(fleet: Fleet, name: str) -> dict[str, str]:
    """Return where the claim lies that lets a box in; a box with a certificate has no use for one."""
    folder = fleet.places.claim(fleet.inventory.claim_for(name, time.time()))
    if not (folder / CERTIFICATE).exists():
        return {}
    return {
        "promptd_claim_certificate": str(folder / CERTIFICATE),
        "promptd_claim_key": str(folder / KEY),
    }


def _group_name(group: str) -> str:
    """Return a name that Ansible takes: letters, digits and '_'."""
    return "".join(each if each.isalnum() else "_" for each in group) or UNGROUPED
