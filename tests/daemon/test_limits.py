"""What one requester, and one broker, can ask of a device."""

from contextlib import ExitStack
from pathlib import Path

from rig.box import Box, box_in, chat
from rig.kinds import Connect, StartBox, StartBroker


def test_a_requester_that_sends_too_many_prompts_is_told_when_to_come_back(start_box: StartBox) -> None:
    box = start_box(queue={"rate_per_minute": 2})
    for n in range(2):
        box.ending(box.send(chat(f"number {n}"), response_topic=f"promptd/v1/client/me/response/{n}"))

    ticket = box.send(chat("one too many"), response_topic="promptd/v1/client/me/response/3")

    refusal = box.ending(ticket)
    assert (refusal.body["error"]["code"], refusal.properties["status"]) == ("rate_limited", "429")
    assert refusal.body["error"]["retry_after_ms"] > 0


def test_a_request_that_is_repeated_is_answered_however_often(start_box: StartBox) -> None:
    box = start_box(queue={"rate_per_minute": 1})
    request, topic = chat("said once"), "promptd/v1/client/me/response/1"
    ticket = box.send(request, response_topic=topic)

    for count in range(1, 4):
        box.heard(ticket, "completed", count)
        box.send(request, response_topic=topic, correlation=ticket.correlation)

    assert len({reply.payload for reply in box.heard(ticket, "completed", count=4)}) == 1


def test_an_answer_that_is_larger_than_the_broker_takes_is_an_error_and_the_next_one_is_an_answer(
    start_mosquitto: StartBroker, connect: Connect, stack: ExitStack, tmp_path: Path
) -> None:
    box = small_broker_box(start_mosquitto, connect, stack, tmp_path)

    large, small = box.send(chat("y" * 2600)), box.send(chat("a small one"))

    assert box.error_code(large) == "payload_too_large"
    assert box.ending(small).event == "completed"


def small_broker_box(start_mosquitto: StartBroker, connect: Connect, stack: ExitStack, folder: Path) -> Box:
    broker = start_mosquitto("allow_anonymous true", "max_packet_size 3000")
    return stack.enter_context(box_in(folder, broker.url, connect(broker.port)))
