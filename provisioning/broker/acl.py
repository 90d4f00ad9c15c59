"""Who may read and write what: the wire contract's table, with the names of one fleet in it.

Devices and claims are known by pattern: a box that enrols itself may speak before the broker has heard of it.
All else is written out by name: what a client may ask, and below whose response topics a device answers.
"""

from dataclasses import dataclass
from enum import StrEnum

from agent.wire.access import FLEET_USER, TABLE, Access, Party
from agent.wire.topics import VERSION
from provisioning.inventory import Inventory, claim_user
from provisioning.registry import Registry
from provisioning.roles import Role

EVERY_NAME = "+"
GUESTS = (Role.CLIENT, Role.CLAIM)


class May(StrEnum):
    """What a rule allows."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that somebody may do."""

    may: May
    topic_filter: str


@dataclass(frozen=True, slots=True)
class Member:
    """A device as the rules need it."""

    name: str
    group: str


@dataclass(frozen=True, slots=True)
class Rights:
    """Whom the rules speak of."""

    root: str
    members: tuple[Member, ...]
    inventory: Inventory
    cut_off: tuple[str, ...] = ()
    """Users whose latest certificate was revoked."""

    def prefix(self, device: str) -> str:
        """Return the level below which a device speaks."""
        return f"{self.root}/{VERSION}/device/{device}"

    def own(self, party: Party, user: str) -> tuple[Rule, ...]:
        """Return what a device or claim may do below its own name; `user` may be a broker's placeholder."""
        level = f"{{{party}}}"
        return tuple(
            Rule(may, access.topic_filter(self.root, **{str(party): user}))
            for access in TABLE
            if level in access.pattern
            for may in _may(access, party)
        )

    def service(self) -> tuple[Rule, ...]:
        """Return what the provisioning service may do."""
        return tuple(
            Rule(may, access.topic_filter(self.root)) for access in TABLE for may in _may(access, Party.FLEET)
        )

    def client(self, name: str) -> tuple[Rule, ...]:
        """Return what a client may do: hear answers below its name, ask its devices and hear them."""
        entry = self.inventory.clients[name]
        asked = [EVERY_NAME] if entry.all else [m.name for m in self.members if name in self._askers(m)]
        own = self.own(Party.CLIENT, name)
        return own + tuple(
            Rule(may, access.topic_filter(self.root, device=device))
            for device in asked
            for access in TABLE
            if "{device}" in access.pattern
            for may in _may(access, Party.CLIENT)
        )

    def answers(self, member: Member) -> tuple[Rule, ...]:
        """Return where a device may answer: below the response topics of the clients that may ask it."""
        answers = [
            access for access in TABLE if access.writer is Party.DEVICE and "{client}" in access.pattern
        ]
        return tuple(
            Rule(May.WRITE, access.topic_filter(self.root, client=client))
            for client in self._askers(member)
            for access in answers
        )

    def others(self) -> tuple[str, ...]:
        """Return the users that are no devices, by name."""
        return (FLEET_USER, *sorted(self.inventory.clients), *map(claim_user, sorted(self.inventory.claims)))

    def _askers(self, member: Member) -> tuple[str, ...]:
        return self.inventory.askers(member.name, member.group)


def rights_of(inventory: Inventory, registry: Registry) -> Rights:
    """Return whom the rules speak of: devices of the inventory, and those that enrolled themselves."""
    listed = {name: Member(name, device.group) for name, device in inventory.devices.items()}
    known = {device.name: Member(device.name, device.group) for device in registry.devices()}
    left = {device.name for device in registry.devices(origin="inventory")} - listed.keys()
    members = {name: member for name, member in {**known, **listed}.items() if name not in left}
    latest = {each.holder: each for each in registry.certificates()}
    cut_off = {holder for holder, each in latest.items() if each.revoked_s is not None}
    users = {*inventory.clients, *map(claim_user, inventory.claims)}
    # Who left the inventory keeps a certificate until it is revoked; a pattern would make a device of it.
    cut_off |= {each.holder for each in latest.values() if each.party in GUESTS and each.holder not in users}
    return Rights(
        root=inventory.broker.root,
        members=tuple(members[name] for name in sorted(members) if name not in cut_off),
        inventory=inventory,
        cut_off=tuple(sorted(cut_off)),
    )


def _may(access: Access, party: Party) -> tuple[May, ...]:
    wanted = ((May.WRITE, access.writer is party), (May.READ, party in access.readers))
    return tuple(may for may, is_allowed in wanted if is_allowed)
