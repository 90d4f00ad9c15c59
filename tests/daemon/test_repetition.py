"""The same request again: one answer content, whatever is repeated."""

import shutil
from pathlib import Path

from engines.running import demo
from rig.box import Box, Ticket, chat
from rig.kinds import StartBox


def _repeat(box: Box, ticket: Ticket, request: dict[str, object]) -> None:
    box.send(request, response_topic=ticket.topic, correlation=ticket.correlation)


def test_a_repeated_request_is_answered_with_identical_bytes(box: Box) -> None:
    request = chat("say it once", temperature=5.0)
    ticket = box.send(request)
    box.ending(ticket)

    _repeat(box, ticket, request)

    first, second = box.heard(ticket, "completed", count=2)
    assert first.payload == second.payload


def test_a_repeated_request_is_run_once(box: Box) -> None:
    request = chat("count me")
    ticket = box.send(request)
    box.ending(ticket)
    before = box.wait_for_health(lambda _: True)["requests"]["duplicates"]

    _repeat(box, ticket, request)

    box.heard(ticket, "completed", count=2)
    health = box.wait_for_health(lambda h: h["requests"]["duplicates"] > before)
    assert health["requests"]["completed"] <= health["requests"]["accepted"]


def test_a_request_repeated_while_it_waits_has_one_ending(box: Box) -> None:
    request = chat("waits")

    with box.busy_engine():
        ticket = box.send(request)
        _repeat(box, ticket, request)
    box.ending(ticket)

    box.ending(box.send(chat("after")))
    assert len(box.endings(ticket)) == 1


def test_another_payload_under_the_same_key_is_a_conflict(box: Box) -> None:
    ticket = box.send(chat("one thing"))
    box.ending(ticket)

    _repeat(box, ticket, chat("another thing"))

    (refusal,) = box.heard(ticket, "failed")
    assert (refusal.body["error"]["code"], refusal.properties["status"]) == ("conflict", "409")


def test_the_same_id_on_the_devices_own_topic_is_the_same_request(box: Box) -> None:
    request = chat("by id alone", id="only-an-id")
    topic = "promptd/v1/device/box/response/only-an-id"
    box.send(request, response_topic="", correlation=b"")
    box.requester.wait_for(lambda r: r.topic == topic)

    box.send(request, response_topic="", correlation=b"")

    first, second = box.requester.wait_for_many(lambda r: r.topic == topic, 2)
    assert first.payload == second.payload


def test_an_answered_request_that_would_be_refused_today_gets_its_answer_again(start_box: StartBox) -> None:
    box = start_box()
    request = chat("asked of the model of yesterday", model="demo")
    ticket = box.send(request)
    box.ending(ticket)
    box.kill()
    box.configure(box.url, {"engine": {"model": another_model(box.folder)}})
    box.start()

    _repeat(box, ticket, request)

    first, second = box.heard(ticket, "completed", count=2)
    assert first.payload == second.payload


def another_model(folder: Path) -> str:
    """Return the path of a copy of the embedded model under another name."""
    path = folder / "another.gguf"
    shutil.copyfile(demo().path_for("gguf-cpu"), path)
    return str(path)
