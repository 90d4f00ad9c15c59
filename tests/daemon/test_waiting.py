"""Prompts that wait, are overtaken, run out of time or are cancelled."""

import pytest
from rig.box import Box, chat


def test_a_more_urgent_prompt_is_answered_first(box: Box) -> None:
    with box.busy_engine():
        tickets = [box.send(chat(p, priority=p)) for p in ("batch", "normal", "interactive")]

    for ticket in tickets:
        box.ending(ticket)

    wanted = {ticket.correlation for ticket in tickets}
    order = [
        r.body["choices"][0]["message"]["content"]
        for r in box.requester.replies
        if r.correlation in wanted and r.is_ending
    ]
    assert order == ["interactive", "normal", "batch"]


def test_accepted_tells_how_many_prompts_are_before(box: Box) -> None:
    with box.busy_engine():
        box.send(chat("first"))
        (accepted,) = box.heard(box.send(chat("second", progress=True)), "accepted")

    assert accepted.body["queue"]["position"] == 1


def test_a_prompt_whose_message_expiry_passes_in_the_queue_is_expired(box: Box) -> None:
    with box.busy_engine():
        ticket = box.send(chat("late"), expiry_s=1)
        reply = box.ending(ticket)

    assert (reply.body["error"]["code"], reply.properties["status"]) == ("expired", "408")


def test_a_prompt_whose_timeout_passes_in_the_queue_is_expired(box: Box) -> None:
    with box.busy_engine():
        code = box.error_code(box.send(chat("late", timeout_s=0.2)))

    assert code == "expired"


def test_a_prompt_whose_timeout_passes_while_it_runs_is_timed_out(box: Box) -> None:
    box.wait_for_down()
    worker = box.worker()
    worker.suspend()

    reply = box.ending(box.send(chat("never ends", timeout_s=1)))

    worker.resume()
    assert (reply.body["error"]["code"], reply.properties["status"]) == ("timeout", "408")


def test_the_slot_of_a_timed_out_prompt_serves_the_next(box: Box) -> None:
    box.wait_for_down()
    worker = box.worker()
    worker.suspend()
    box.ending(box.send(chat("never ends", timeout_s=0.3)))
    worker.resume()

    reply = box.ending(box.send(chat("next")))

    assert reply.event == "completed"


def test_a_waiting_prompt_is_cancelled_by_its_id(box: Box) -> None:
    with box.busy_engine():
        ticket = box.send(chat("do not", id="cancel-me"))
        box.send({"id": "cancel-me"}, "cancel")
        reply = box.ending(ticket)

    assert (reply.body["error"]["code"], reply.properties["status"]) == ("cancelled", "499")


def test_a_waiting_prompt_is_cancelled_by_its_topic_and_correlation(box: Box) -> None:
    with box.busy_engine():
        ticket = box.send(chat("do not"))
        box.send(b"", "cancel", response_topic=ticket.topic, correlation=ticket.correlation)
        code = box.error_code(ticket)

    assert code == "cancelled"


def test_a_running_prompt_is_cancelled_and_ends_once(box: Box) -> None:
    with box.busy_engine() as running:
        box.send(b"", "cancel", response_topic=running.topic, correlation=running.correlation)
        code = box.error_code(running)
    box.ending(box.send(chat("after")))

    assert code == "cancelled"
    assert len(box.endings(running)) == 1


@pytest.mark.parametrize("unknown", ["nobody", "x" * 64])
def test_cancelling_an_unknown_prompt_disturbs_nobody(box: Box, unknown: str) -> None:
    box.send({"id": unknown}, "cancel")

    reply = box.ending(box.send(chat("still here")))

    assert reply.event == "completed"
