"""Every topic string of the wire contract, version 1, and the rule which Response Topics are answered."""

import re
from dataclasses import dataclass

VERSION = "v1"
IDENTIFIER = re.compile(r"^[A-Za-z0-9_.-]{1,64}$")
"""What names devices, prompts and the levels of the root."""


def matches(topic_filter: str, topic: str) -> bool:
    """Tell whether `topic` matches an MQTT filter with `+` and `#` (MQTT 5, section 4.7)."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(given) or level not in ("+", given[index]):
            return False
    return len(wanted) == len(given)


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one device."""

    root: str
    device: str

    @property
    def prefix(self) -> str:
        """Everything of this device stands below this level."""
        return f"{self.root}/{VERSION}/device/{self.device}"

    @property
    def requests(self) -> str:
        """The filter the agent subscribes to."""
        return f"{self.prefix}/request/+"

    @property
    def status(self) -> str:
        """Retained; also the will."""
        return f"{self.prefix}/status"

    @property
    def info(self) -> str:
        """Retained; what this device is and runs."""
        return f"{self.prefix}/info"

    @property
    def health(self) -> str:
        """Retained; how this device is doing."""
        return f"{self.prefix}/health"

    def request(self, operation: str) -> str:
        """Return the topic a requester publishes to."""
        return f"{self.prefix}/request/{operation}"

    def response(self, prompt_id: str) -> str:
        """Return the topic of answers to requests without a Response Topic."""
        return f"{self.prefix}/response/{prompt_id}"

    def event(self, kind: str) -> str:
        """Return the topic of one kind of event."""
        return f"{self.prefix}/event/{kind}"

    @property
    def certificate_request(self) -> str:
        """Where the device asks for its next certificate."""
        return f"{self.prefix}/certificate/request"

    @property
    def certificate_reply(self) -> str:
        """Where the provisioning service answers."""
        return f"{self.prefix}/certificate/reply"

    def operation(self, topic: str) -> str:
        """Return the last level of a request topic."""
        return topic.rpartition("/")[2]

    @property
    def default_response_filters(self) -> tuple[str, ...]:
        """Where a Response Topic may point unless `broker.response_topics` says otherwise."""
        return (f"{self.root}/{VERSION}/client/+/response/#", f"{self.prefix}/response/#")


@dataclass(frozen=True, slots=True)
class EnrolmentTopics:
    """The topics of one box that has no name yet: `claim` let it in, `request` is a random id of its own."""

    root: str
    claim: str
    request: str

    @property
    def ask(self) -> str:
        """Where the box asks for its first certificate."""
        return f"{self.root}/{VERSION}/enrol/{self.claim}/{self.request}/request"

    @property
    def reply(self) -> str:
        """Where the provisioning service answers; the box subscribes before it asks."""
        return f"{self.root}/{VERSION}/enrol/{self.claim}/{self.request}/reply"


@dataclass(frozen=True, slots=True)
class ResponseTopicRule:
    """Guards against the confused deputy: a requester must not make the device write anywhere else."""

    filters: tuple[str, ...]
    max_bytes: int = 256

    def allows(self, topic: str) -> bool:
        """Tell whether an answer may be published to `topic`."""
        return (
            0 < len(topic.encode()) <= self.max_bytes
            and not any(character in topic for character in "+#\0")
            and not topic.startswith("$")
            and "" not in topic.split("/")
            and any(matches(one, topic) for one in self.filters)
        )
