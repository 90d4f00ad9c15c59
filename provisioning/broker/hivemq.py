"""The same rules for HiveMQ: `credentials.xml` of its File RBAC extension, one role for each kind of member.

That extension takes user name and password. Passwords are not ours to make: each user is written with a
placeholder, which has to be replaced (docs/brokers.md).
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from agent.wire.access import FLEET_USER, Party
from provisioning.broker.acl import May, Rights, Rule
from provisioning.inventory import claim_user

USER = "${{username}}"
CREDENTIALS = "credentials.xml"
ACTIONS = {May.READ: "SUBSCRIBE", May.WRITE: "PUBLISH"}
PASSWORD = "REPLACE-ME"  # noqa: S105 -- says that there is none
DEVICE_ROLE, CLAIM_ROLE = "device", "claim"


def credentials(rights: Rights) -> str:
    """Return the file with users, roles and permissions."""
    root = ET.Element("file-rbac")
    users, roles = ET.SubElement(root, "users"), ET.SubElement(root, "roles")
    _role(roles, DEVICE_ROLE, rights.own(Party.DEVICE, USER))
    _role(roles, CLAIM_ROLE, rights.own(Party.CLAIM, USER))
    for member in rights.members:
        _user(users, member.name, (DEVICE_ROLE, f"answers-{member.name}"))
        _role(roles, f"answers-{member.name}", rights.answers(member))
    for name in sorted(rights.inventory.claims):
        _user(users, claim_user(name), (CLAIM_ROLE,))
    for name in sorted(rights.inventory.clients):
        _user(users, name, (f"client-{name}",))
        _role(roles, f"client-{name}", rights.client(name))
    _user(users, FLEET_USER, (FLEET_USER,))
    _role(roles, FLEET_USER, rights.service())
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _user(users: ET.Element, name: str, roles: Iterable[str]) -> None:
    user = ET.SubElement(users, "user")
    ET.SubElement(user, "name").text = name
    ET.SubElement(user, "password").text = PASSWORD
    listed = ET.SubElement(user, "roles")
    for role in roles:
        ET.SubElement(listed, "id").text = role


def _role(roles: ET.Element, name: str, rules: Iterable[Rule]) -> None:
    role = ET.SubElement(roles, "role")
    ET.SubElement(role, "id").text = name
    permissions = ET.SubElement(role, "permissions")
    for rule in rules:
        permission = ET.SubElement(permissions, "permission")
        ET.SubElement(permission, "topic").text = rule.topic_filter
        ET.SubElement(permission, "activity").text = ACTIONS[rule.may]
