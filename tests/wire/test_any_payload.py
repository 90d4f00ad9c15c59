"""Whatever bytes come, the door answers with a request or a refusal."""

import json

from hypothesis import given
from hypothesis import strategies as st

from agent.wire.errors import PromptError
from agent.wire.packets import Delivery
from agent.wire.requests import Door, claimed_id
from agent.wire.topics import Topics

TOPICS = Topics("promptd", "box")
DOOR = Door(TOPICS, "demo", 600)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["id", "messages", "prompt", "max_tokens", "stop", "seed", "role", "model", "timeout_s"]
)
REQUESTS = st.dictionaries(NAMES | st.text(max_size=4), VALUES, max_size=6).map(
    lambda body: json.dumps(body).encode()
)


@given(payload=st.binary(max_size=64) | REQUESTS, operation=st.sampled_from(["chat", "complete", "cancel"]))
def test_no_payload_raises_anything_but_a_prompt_error(payload: bytes, operation: str) -> None:
    delivery = Delivery(TOPICS.request(operation), payload)

    try:
        outcome: object = (
            DOOR.cancel(delivery)
            if operation == "cancel"
            else DOOR.prompt("chat" if operation == "chat" else "complete", delivery)
        )
    except PromptError as error:
        outcome = error

    assert outcome
    assert claimed_id(payload) is None or payload
