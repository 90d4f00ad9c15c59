"""Other settings: the embedded model, MQTT 3.1.1, a small queue."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from rig.box import TOPICS, box_in, chat
from rig.kinds import Connect, StartBox
from rig.mosquitto import Mosquitto


@pytest.mark.parametrize("variant", ["gguf-cpu", "onnx-cpu-int4"])
def test_the_embedded_model_streams_an_answer(start_box: StartBox, variant: str) -> None:
    box = start_box(engine={"require": variant, "slots": 2, "context_length": 512})

    ticket = box.send(chat("hello", stream=True, max_tokens=12))

    body = box.ending(ticket).body
    chunks = [
        r.body for r in box.requester.replies if r.correlation == ticket.correlation and r.event == "chunk"
    ]
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
    assert body["engine"]["variant"] == variant
    assert text == body["choices"][0]["message"]["content"]
    assert 1 <= body["usage"]["completion_tokens"] <= 12


def test_an_agent_and_a_requester_of_mqtt_3_1_1_understand_each_other(
    tmp_path: Path, stack: ExitStack, mosquitto: Mosquitto, connect: Connect
) -> None:
    requester = connect(mosquitto.port, protocol="3.1.1")
    tables = {"broker": {"protocol": "3.1.1"}}
    box = stack.enter_context(box_in(tmp_path, mosquitto.url, requester, tables))

    box.send(chat("hello", id="old-school"))

    answer = requester.wait_for(lambda reply: reply.topic == TOPICS.response("old-school"))
    assert answer.body["choices"][0]["message"]["content"] == "hello"


def test_a_full_queue_is_told_with_the_time_to_come_back(start_box: StartBox) -> None:
    box = start_box(queue={"capacity": 1})
    with box.busy_engine():
        box.send(chat("waits"))
        reply = box.ending(box.send(chat("one too many")))

    assert reply.body["error"]["code"] == "queue_full"
    assert reply.properties["status"] == "503"
    assert reply.body["error"]["retry_after_ms"] > 0
