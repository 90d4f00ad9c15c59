"""The agent, its worker and the broker die; what was acknowledged is answered."""

import signal

import pytest
from rig.box import TOPICS, Box, Ticket, chat
from rig.kinds import StartBox
from rig.mosquitto import Mosquitto


def _texts(box: Box, tickets: list[Ticket]) -> list[str]:
    return [box.ending(ticket).body["choices"][0]["message"]["content"] for ticket in tickets]


def _has_one_content_each(box: Box, tickets: list[Ticket]) -> bool:
    return all(len({reply.payload for reply in box.endings(ticket)}) == 1 for ticket in tickets)


def test_prompts_that_waited_when_the_agent_was_killed_are_answered_after_its_restart(
    start_box: StartBox,
) -> None:
    box = start_box()
    with box.busy_engine() as running:
        tickets = [box.send(chat(f"number {n}")) for n in range(20)]
        box.wait_for_health(lambda h: h["queue"]["waiting"] == 20)
        box.kill()

    box.start()

    assert _texts(box, [running, *tickets]) == ["holds the slot", *(f"number {n}" for n in range(20))]
    assert _has_one_content_each(box, [running, *tickets])


@pytest.mark.parametrize("heard", [1, 5, 15])
def test_a_kill_amid_the_answers_loses_none_and_changes_none(start_box: StartBox, heard: int) -> None:
    box = start_box()
    tickets = [box.send(chat(f"number {n}", temperature=5.0)) for n in range(30)]
    box.requester.wait_for_many(lambda r: r.is_ending, heard)

    box.kill()
    box.start()

    assert _texts(box, tickets) == [f"number {n}" for n in range(30)]
    assert _has_one_content_each(box, tickets)


def test_a_killed_agent_is_offline_by_its_will(start_box: StartBox) -> None:
    box = start_box()

    box.kill()

    status = box.wait_for_state("offline")
    assert status.body["reason"] == "the connection was lost"


def test_a_killed_agent_takes_its_worker_with_it(start_box: StartBox) -> None:
    box = start_box()
    worker = box.worker()

    box.kill()

    worker.wait(timeout=10)
    assert not worker.is_running()


def test_the_agent_comes_back_after_a_restart_of_the_broker(
    start_box: StartBox, mosquitto: Mosquitto
) -> None:
    box = start_box()

    mosquitto.stop()
    mosquitto.start()

    box.child.wait_for_line(lambda line: "broker_connected" in line and '"session_present": true' in line)
    assert box.ending(box.send(chat("are you there?"))).event == "completed"


def test_answers_written_while_the_broker_was_away_are_delivered(
    start_box: StartBox, mosquitto: Mosquitto
) -> None:
    box = start_box()
    with box.busy_engine() as running:
        tickets = [box.send(chat(f"number {n}")) for n in range(5)]
        box.wait_for_health(lambda h: h["queue"]["waiting"] == 5)
        mosquitto.stop()
    box.child.wait_for_line(lambda line: "number 4" not in line and line.count('"outcome": "completed"') > 0)

    mosquitto.start()

    assert _texts(box, [running, *tickets]) == ["holds the slot", *(f"number {n}" for n in range(5))]
    assert _has_one_content_each(box, [running, *tickets])


def test_a_prompt_survives_the_death_of_its_worker(start_box: StartBox) -> None:
    box = start_box()
    with box.busy_engine() as running:
        box.worker().kill()

    reply = box.ending(running)

    assert reply.body["choices"][0]["message"]["content"] == "holds the slot"
    health = box.wait_for_health(lambda h: h["engine"]["restarts"])
    assert sum(health["engine"]["restarts"].values()) == 1


def test_a_prompt_that_kills_its_worker_three_times_is_answered_with_an_error(start_box: StartBox) -> None:
    box = start_box()
    poison = box.send(chat("x" * 200_000))

    for _ in range(3):
        box.wait_for_running()
        box.worker().send_signal(signal.SIGSEGV)
        box.wait_for_down()

    assert box.error_code(poison) == "engine_crashed"
    assert box.ending(box.send(chat("next"))).event == "completed"


def test_health_and_status_come_from_the_device_itself(start_box: StartBox) -> None:
    box = start_box()

    status = box.wait_for_state("ready")

    assert status.topic == TOPICS.status
    assert status.body.keys() == {"state", "reason", "since", "birth"}
