"""`mosquitto.conf` and its ACL file, for mosquitto 2.0.11 (Debian 12) and later.

What an ACL line means there (mosquitto.conf(5)): `pattern` holds for every user, `user` begins the lines of
one, `deny` is looked at first. A pattern would also let a client act as a device of its own name, so users
that are no devices are denied what lies below such a name.
"""

from collections.abc import Iterator

from agent.mqtt.dialing import PACKET_OVERHEAD_BYTES
from agent.settings import QueueSettings
from agent.wire.access import FLEET_USER, Party
from agent.wire.topics import VERSION
from provisioning.broker.acl import Rights, Rule
from provisioning.inventory import FleetBroker, claim_user

USER = "%u"
CONFIGURATION, ACL = "mosquitto.conf", "acl"
CERTIFICATE, KEY, AUTHORITY, REVOCATIONS = "cert.pem", "key.pem", "ca.pem", "crl.pem"

HEAD = "# Written by promptd-fleet; `promptd-fleet apply` writes it anew."


def configuration(broker: FleetBroker, folder: str, *, has_revocations: bool) -> str:
    """Return the whole mosquitto.conf; its other files lie in `folder` on the broker's machine."""
    packet = QueueSettings().max_payload_bytes + PACKET_OVERHEAD_BYTES
    revocations = [f"crlfile {folder}/{REVOCATIONS}"] if has_revocations else []
    lines = (
        HEAD,
        "per_listener_settings false",
        "allow_anonymous false",
        f"acl_file {folder}/{ACL}",
        "",
        "# Who connects is who its certificate says. Client ids are free: a client may hold several links,",
        "# all boxes of a claim share its certificate, and use_username_as_clientid would break both.",
        f"listener {broker.port}",
        *(["protocol websockets"] if broker.url.startswith("wss://") else []),
        f"cafile {folder}/{AUTHORITY}",
        f"certfile {folder}/{CERTIFICATE}",
        f"keyfile {folder}/{KEY}",
        *revocations,
        "tls_version tlsv1.2",
        "require_certificate true",
        "use_identity_as_username true",
        "",
        "# A packet holds the largest prompt; more is dropped here instead of on the box.",
        f"max_packet_size {packet}",
        "max_keepalive 120",
        "max_inflight_messages 20",
        "# For a box that is away: beyond this the broker drops prompts, and their requesters ask again.",
        "max_queued_messages 1000",
        "max_queued_bytes 67108864",
        "# Sessions of boxes last 7 days (docs/wire.md); what is older belongs to nobody.",
        "persistent_client_expiration 14d",
        "set_tcp_nodelay true",
        "",
        "# Written after every change: by default mosquitto writes every half an hour.",
        "persistence true",
        f"persistence_location {broker.state_dir.rstrip('/')}/",
        "autosave_on_changes true",
        "autosave_interval 1",
        "",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "connection_messages true",
    )
    return "\n".join(lines) + "\n"


def acl(rights: Rights) -> str:
    """Return the ACL file."""
    return "\n".join((HEAD, *_lines(rights))) + "\n"


def _lines(rights: Rights) -> Iterator[str]:
    yield from ("", "# Every device, below its own name.")
    yield from (_line("pattern", rule) for rule in rights.own(Party.DEVICE, USER))
    yield from ("", "# Every claim, below its own name.")
    yield from (_line("pattern", rule) for rule in rights.own(Party.CLAIM, USER))
    yield from _user(rights, FLEET_USER, rights.service())
    for name in sorted(rights.inventory.clients):
        yield from _user(rights, name, rights.client(name))
    for name in sorted(rights.inventory.claims):
        yield from _user(rights, claim_user(name), ())
    for member in rights.members:
        if answers := rights.answers(member):
            yield from ("", f"user {member.name}", *(_line("topic", rule) for rule in answers))
    for name in rights.cut_off:
        yield from ("", f"user {name}", f"topic deny {rights.root}/{VERSION}/#")


def _user(rights: Rights, name: str, rules: tuple[Rule, ...]) -> Iterator[str]:
    """Return the lines of a user who is no device."""
    yield from ("", f"user {name}", f"topic deny {rights.prefix(name)}/#")
    yield from (_line("topic", rule) for rule in rules)


def _line(kind: str, rule: Rule) -> str:
    return f"{kind} {rule.may} {rule.topic_filter}"
