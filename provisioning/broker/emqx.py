"""The same rules for EMQX 5: an ACL file, read from top to bottom, and the settings that belong to it.

`${username}` stands for the name in the certificate. What no rule allows is refused by the last one.
"""

import json
from collections.abc import Iterable, Iterator

from agent.mqtt.dialing import PACKET_OVERHEAD_BYTES
from agent.settings import QueueSettings
from agent.wire.access import FLEET_USER, Party
from agent.wire.topics import VERSION
from provisioning.broker.acl import May, Rights, Rule
from provisioning.inventory import FleetBroker, claim_user

USER = "${username}"
CONFIGURATION, ACL = "emqx.conf", "acl.conf"
ACTIONS = {May.READ: "subscribe", May.WRITE: "publish"}


def configuration(broker: FleetBroker, folder: str) -> str:
    """Return the settings to put into emqx.conf; the files lie in `folder` on the broker's machine."""
    packet = QueueSettings().max_payload_bytes + PACKET_OVERHEAD_BYTES
    return f"""\
# Written by promptd-fleet; `promptd-fleet apply` writes it anew. Put it into emqx.conf.
mqtt {{
  peer_cert_as_username = cn
  max_packet_size = {packet}B
  session_expiry_interval = 14d
  max_mqueue_len = 1000
}}
authorization {{
  no_match = deny
  deny_action = ignore
  sources = [{{type = file, enable = true, path = "{folder}/{ACL}"}}]
}}
listeners.ssl.default {{
  bind = "0.0.0.0:{broker.port}"
  ssl_options {{
    cacertfile = "{folder}/ca.pem"
    certfile = "{folder}/cert.pem"
    keyfile = "{folder}/key.pem"
    verify = verify_peer
    fail_if_no_peer_cert = true
    versions = ["tlsv1.3", "tlsv1.2"]
  }}
}}
"""


def acl(rights: Rights) -> str:
    """Return the ACL file."""
    return (
        "\n".join(("%% Written by promptd-fleet; `promptd-fleet apply` writes it anew.", *_lines(rights)))
        + "\n"
    )


def _lines(rights: Rights) -> Iterator[str]:
    for name in rights.cut_off:
        yield f"{{deny, {_who(name)}, all, [{json.dumps(f'{rights.root}/{VERSION}/#')}]}}."
    for name in rights.others():
        # Whoever is no device must not act as one of the same name.
        yield f"{{deny, {_who(name)}, all, [{json.dumps(f'{rights.prefix(name)}/#')}]}}."
    yield from _allowed(_who(FLEET_USER), rights.service())
    for name in sorted(rights.inventory.clients):
        yield from _allowed(_who(name), rights.client(name))
    for member in rights.members:
        yield from _allowed(_who(member.name), rights.answers(member))
    for name in sorted(rights.inventory.claims):
        yield from _allowed(_who(claim_user(name)), rights.own(Party.CLAIM, claim_user(name)))
    yield from _allowed("all", rights.own(Party.DEVICE, USER))
    yield "{deny, all}."


def _allowed(who: str, rules: Iterable[Rule]) -> Iterator[str]:
    for may, action in ACTIONS.items():
        topics = [json.dumps(rule.topic_filter) for rule in rules if rule.may is may]
        if topics:
            yield f"{{allow, {who}, {action}, [{', '.join(topics)}]}}."


def _who(name: str) -> str:
    return f"{{username, {json.dumps(name)}}}"
