"""The rules for EMQX and HiveMQ: read as those brokers read them, they allow what mosquitto's do."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.wire.topics import matches
from provisioning.broker import emqx, hivemq
from provisioning.broker.acl import Rights, rights_of
from provisioning.inventory_file import read_inventory
from provisioning.registry import Registry
from provisioning.registry_rows import Certificate
from provisioning.roles import Role

Allows = Callable[[str, str, str], bool]
DEVICE, CLIENT = "promptd/v1/device", "promptd/v1/client"
INVENTORY = """\
broker: {url: 'mqtts://broker.example'}
groups: {presses: {}, ovens: {}}
devices:
  box-1: {group: presses}
  box-2: {group: ovens}
  box-3: {group: presses}
claims:
  line-7: {expires: 2099-01-31, limit: 10}
clients:
  dashboard: {groups: [presses]}
  owner: {all: true}
"""
CASES = [
    ("box-1", "subscribe", f"{DEVICE}/box-1/request/+", True),
    ("box-1", "subscribe", f"{DEVICE}/box-2/request/+", False),
    ("box-1", "subscribe", f"{DEVICE}/+/request/+", False),
    ("box-1", "subscribe", "#", False),
    ("box-1", "publish", f"{DEVICE}/box-1/status", True),
    ("box-1", "publish", f"{DEVICE}/box-2/status", False),
    ("box-1", "publish", f"{DEVICE}/box-1/request/chat", False),
    ("box-1", "publish", f"{CLIENT}/dashboard/response/1", True),
    ("box-2", "publish", f"{CLIENT}/dashboard/response/1", False),
    ("box-2", "publish", f"{CLIENT}/owner/response/1", True),
    ("dashboard", "publish", f"{DEVICE}/box-1/request/chat", True),
    ("dashboard", "publish", f"{DEVICE}/box-2/request/chat", False),
    ("dashboard", "publish", f"{DEVICE}/dashboard/status", False),
    ("dashboard", "subscribe", f"{CLIENT}/dashboard/response/#", True),
    ("dashboard", "subscribe", f"{CLIENT}/owner/response/#", False),
    ("owner", "subscribe", f"{DEVICE}/+/status", True),
    ("claim-line-7", "publish", "promptd/v1/enrol/claim-line-7/1/request", True),
    ("claim-line-7", "publish", "promptd/v1/enrol/claim-line-8/1/request", False),
    ("claim-line-7", "publish", f"{DEVICE}/claim-line-7/status", False),
    ("promptd-fleet", "subscribe", "promptd/v1/enrol/+/+/request", True),
    ("promptd-fleet", "publish", f"{DEVICE}/box-1/certificate/reply", True),
    ("promptd-fleet", "publish", f"{DEVICE}/box-1/request/chat", False),
    ("box-3", "publish", f"{DEVICE}/box-3/status", False),
]
"""User, action, topic, whether it is allowed; the certificate of box-3 was revoked."""


@pytest.fixture(scope="module")
def rights(tmp_path_factory: pytest.TempPathFactory) -> Rights:
    folder = tmp_path_factory.mktemp("rights")
    (folder / "fleet.yaml").write_text(INVENTORY)
    with Registry(folder / "registry.db") as registry:
        registry.add_certificate(Certificate("0a", "box-3", Role.DEVICE, 0, 9e9, "key", "PEM", 1.0))
        registry.revoke("box-3", "stolen")
        return rights_of(read_inventory(folder / "fleet.yaml"), registry)


@pytest.fixture
def emqx_allows(rights: Rights) -> Allows:
    """Read the ACL file from top to bottom; the first line that fits decides."""
    line = re.compile(r'^\{(allow|deny), (?:all|\{username, "([^"]+)"\}), (\w+), (\[.*\])\}\.$')
    found = [line.fullmatch(each) for each in emqx.acl(rights).splitlines()]
    rules = [each.groups() for each in found if each]

    def allows(user: str, action: str, topic: str) -> bool:
        for verdict, who, what, topics in rules:
            filters = [each.replace("${username}", user) for each in json.loads(topics)]
            fits = who in (None, user) and what in ("all", action)
            if fits and any(matches(each, topic) for each in filters):
                return bool(verdict == "allow")
        return False

    return allows


@pytest.fixture
def hivemq_allows(rights: Rights) -> Allows:
    """Read the roles of a user; what none of them permits is refused."""
    root = ET.fromstring(hivemq.credentials(rights))  # noqa: S314 -- our own
    roles = {
        role.findtext("id"): [
            (each.findtext("activity", ""), each.findtext("topic", "")) for each in role.iter("permission")
        ]
        for role in root.iter("role")
    }
    users = {
        user.findtext("name"): [each.text for each in user.findall("roles/id")] for user in root.iter("user")
    }

    def allows(user: str, action: str, topic: str) -> bool:
        permitted = [each for role in users.get(user, []) for each in roles[role]]
        wanted = [each.replace("${{username}}", user) for what, each in permitted if what == action.upper()]
        return any(matches(each, topic) for each in wanted)

    return allows


@pytest.mark.parametrize(("user", "action", "topic", "is_allowed"), CASES)
def test_emqx_allows_what_the_table_allows(
    emqx_allows: Allows, user: str, action: str, topic: str, *, is_allowed: bool
) -> None:
    assert emqx_allows(user, action, topic) is is_allowed


@pytest.mark.parametrize(("user", "action", "topic", "is_allowed"), CASES)
def test_hivemq_allows_what_the_table_allows(
    hivemq_allows: Allows, user: str, action: str, topic: str, *, is_allowed: bool
) -> None:
    assert hivemq_allows(user, action, topic) is is_allowed


def test_emqx_refuses_what_no_line_allows(rights: Rights) -> None:
    assert emqx.acl(rights).rstrip().endswith("{deny, all}.")


def test_the_settings_for_emqx_take_the_user_from_the_certificate(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(INVENTORY)

    written = emqx.configuration(read_inventory(tmp_path / "fleet.yaml").broker, "/etc/emqx/promptd")

    assert "peer_cert_as_username = cn" in written
    assert "fail_if_no_peer_cert = true" in written
