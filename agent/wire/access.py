"""Who publishes and who subscribes: the one table behind the broker's rules and the documents.

Device names, claims and client names are MQTT user names: a broker that demands certificates takes them from
the certificate (mosquitto: `use_identity_as_username`).
"""

from dataclasses import dataclass
from enum import StrEnum

from agent.wire.topics import VERSION

FLEET_USER = "promptd-fleet"
"""The user name of the provisioning service."""
CLAIM_PREFIX = "claim-"
"""Every claim's user name begins with it, and no device's or client's."""


class Party(StrEnum):
    """Who takes part."""

    DEVICE = "device"
    CLIENT = "client"
    CLAIM = "claim"
    """A box that has no certificate of its own yet, with the claim certificate of its batch."""
    FLEET = "fleet"


@dataclass(frozen=True, slots=True)
class Access:
    """One kind of topic."""

    pattern: str
    """Below the root and version; `{device}`, `{client}` and `{claim}` stand for one level, a user name."""
    writer: Party
    readers: tuple[Party, ...]
    qos: int = 1
    is_retained: bool = False

    def topic_filter(self, root: str, **names: str) -> str:
        """Return the filter with these names in it; what is not named becomes `+`."""
        levels = {"device": "+", "client": "+", "claim": "+", **names}
        return f"{root}/{VERSION}/{self.pattern.format(**levels)}"


TABLE = (
    Access("device/{device}/request/+", Party.CLIENT, (Party.DEVICE,)),
    Access("device/{device}/response/#", Party.DEVICE, (Party.CLIENT,)),
    Access("client/{client}/response/#", Party.DEVICE, (Party.CLIENT,)),
    Access("device/{device}/status", Party.DEVICE, (Party.CLIENT, Party.FLEET), is_retained=True),
    Access("device/{device}/info", Party.DEVICE, (Party.CLIENT, Party.FLEET), is_retained=True),
    Access("device/{device}/health", Party.DEVICE, (Party.CLIENT, Party.FLEET), qos=0, is_retained=True),
    Access("device/{device}/event/+", Party.DEVICE, (Party.CLIENT,)),
    Access("device/{device}/certificate/request", Party.DEVICE, (Party.FLEET,)),
    Access("device/{device}/certificate/reply", Party.FLEET, (Party.DEVICE,)),
    Access("enrol/{claim}/+/request", Party.CLAIM, (Party.FLEET,)),
    Access("enrol/{claim}/+/reply", Party.FLEET, (Party.CLAIM,)),
)
"""Every topic of the wire contract. Whoever asks names the topic of the answer; a device may write below
`client/CLIENT/response/` of those clients that may ask it, and does if `broker.response_topics` allows it."""
