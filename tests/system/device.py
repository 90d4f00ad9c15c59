"""A box as its requesters see it: over the broker, and not otherwise."""

import json
import uuid
from typing import Any

from rig.box import Ticket, chat
from rig.requester import Envelope, Reply, Requester

from agent.wire.topics import Topics

CLIENT = "tester"
"""Who asks: the user name, where the broker wants one."""
PATIENCE_S = 60.0


class Device:
    """One device name, and a requester that has heard everything about it."""

    def __init__(self, name: str, requester: Requester) -> None:
        self.topics = Topics("promptd", name)
        self._requester = requester

    @property
    def birth(self) -> int:
        """The life that its last status came from; 0 before the first one."""
        statuses = [
            reply.body["birth"] for reply in self._requester.replies if reply.topic == self.topics.status
        ]
        return int(statuses[-1]) if statuses else 0

    def wait_for_state(self, state: str, birth: int = 0, timeout_s: float = PATIENCE_S) -> Reply:
        """Wait for a status from this life or a later one."""
        return self._requester.wait_for(
            lambda reply: (
                reply.topic == self.topics.status
                and reply.body["state"] == state
                and reply.body["birth"] >= birth
            ),
            timeout_s,
        )

    def send(self, text: str, **fields: Any) -> Ticket:  # noqa: ANN401 -- JSON
        """Publish a prompt whose answer goes to a topic of its own."""
        name = uuid.uuid4().hex
        ticket = Ticket(f"promptd/v1/client/{CLIENT}/response/{name}", name.encode())
        envelope = Envelope(ticket.topic, ticket.correlation)
        self._requester.publish(
            self.topics.request("chat"), json.dumps(chat(text, **fields)).encode(), envelope
        )
        return ticket

    def accepted(self, ticket: Ticket) -> Reply:
        """Wait until a prompt that was sent with `progress` is in hand."""
        return self._requester.wait_for(
            lambda reply: reply.correlation == ticket.correlation and reply.event == "accepted", PATIENCE_S
        )

    def ending(self, ticket: Ticket, timeout_s: float = PATIENCE_S) -> str:
        """Wait for the ending of a prompt and return its kind."""
        return self._requester.wait_for(
            lambda reply: reply.correlation == ticket.correlation and reply.is_ending, timeout_s
        ).event

    def wait_for_two_reports_within(self, gap_s: float) -> None:
        """Wait until a health report comes so soon after another one."""
        last_s = float("-inf")

        def is_close(reply: Reply) -> bool:
            nonlocal last_s
            if reply.topic != self.topics.health:
                return False
            gap, last_s = reply.body["uptime_s"] - last_s, reply.body["uptime_s"]
            return bool(0 < gap <= gap_s)

        self._requester.wait_for(is_close, PATIENCE_S)

    def wait_for_event(self, kind: str) -> Reply:
        """Wait for an event of the device."""
        topic = self.topics.event(kind)
        return self._requester.wait_for(lambda reply: reply.topic == topic, PATIENCE_S)

    def answers(self, ticket: Ticket) -> int:
        """Return how many different endings have come."""
        replies = self._requester.replies
        return len({r.payload for r in replies if r.correlation == ticket.correlation and r.is_ending})
