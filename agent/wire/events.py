"""What a device tells without being asked: one topic for each kind of event."""

import json
from collections.abc import Mapping

from agent.wire.packets import Publication
from agent.wire.topics import Topics


def event(topics: Topics, kind: str, body: Mapping[str, str]) -> Publication:
    """Return an event; docs/wire.md lists the kinds."""
    return Publication(topics.event(kind), json.dumps(body).encode())
