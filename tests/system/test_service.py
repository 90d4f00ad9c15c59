"""The units under a real systemd: what it is told, what it does about it, and what that costs the prompts."""

import json
from collections.abc import Callable

from rig.box import Ticket

from system.device import Device
from system.machine import Machine
from system.service import Service

WATCHDOG_S = 30
MANY, LONG = 100, 400
"""Prompts, and tokens of each answer: more than is done when the next thing happens."""


def send_many(device: Device) -> list[Ticket]:
    """Send more prompts than are answered soon, and wait until the last is in hand."""
    tickets = [device.send(f"story {number}", max_tokens=LONG, progress=True) for number in range(MANY)]
    device.accepted(tickets[-1])
    return tickets


def test_systemd_waits_until_the_agent_says_that_it_is_ready(agent: Service) -> None:
    agent.do("stop")

    agent.do("start")  # returns when systemd has been told

    assert agent.show("ActiveState") == "active"
    assert agent.show("StatusText").startswith(("started", "starting", "ready"))


def test_many_restarts_in_a_row_leave_no_unit_behind(agent: Service, device: Device) -> None:
    for _ in range(8):
        agent.do("restart")

    assert device.ending(device.send("after all of them")) == "completed"


def test_a_prompt_from_outside_is_answered(device: Device) -> None:
    ticket = device.send("Extract JSON: 12:04:11 WARN pump-17 pressure=9.3bar")

    ending = device.ending(ticket)

    assert ending == "completed"


def test_a_box_without_a_broker_is_ready_all_the_same(agent: Service) -> None:
    agent.do("stop")
    agent.machine.cut()

    agent.do("start")

    state = agent.show("ActiveState")
    agent.machine.mend()
    assert state == "active"


def test_an_agent_that_hangs_is_restarted_by_the_watchdog(agent: Service, device: Device) -> None:
    hanging = agent.main_pid
    agent.signal("SIGSTOP")

    agent.wait_for_another(hanging, WATCHDOG_S + 60)

    assert device.ending(device.send("after the watchdog")) == "completed"
    assert f"Killing process {hanging} (promptd) with signal SIGABRT" in agent.journal()


def test_a_worker_that_is_killed_comes_back_while_agent_and_keeper_stay(
    agent: Service, engine: Service, device: Device
) -> None:
    before = agent.main_pid, engine.main_pid

    engine.kill_child()

    assert device.ending(device.send("after the kill")) == "completed"
    assert (agent.main_pid, engine.main_pid) == before


def test_an_engine_unit_that_is_killed_comes_back_while_the_agent_stays(
    agent: Service, engine: Service, device: Device
) -> None:
    before, killed = agent.main_pid, engine.main_pid

    engine.signal("SIGKILL")
    engine.wait_for_another(killed)

    assert device.ending(device.send("after the kill")) == "completed"
    assert agent.main_pid == before


def test_an_engine_that_dies_while_it_answers_costs_no_prompt(engine: Service, device: Device) -> None:
    tickets = send_many(device)

    engine.kill_child()
    was_amid = not all(device.answers(ticket) for ticket in tickets)

    assert was_amid
    assert [device.ending(ticket) for ticket in tickets] == ["completed"] * MANY
    assert [device.answers(ticket) for ticket in tickets] == [1] * MANY


def test_a_reload_applies_settings_to_the_running_agent(
    agent: Service, device: Device, change_settings: Callable[[str, str], None]
) -> None:
    before = agent.main_pid
    change_settings("interval_s = 1", "interval_s = 0.1")

    agent.do("reload")

    device.wait_for_two_reports_within(0.5)
    assert agent.main_pid == before
    assert device.ending(device.send("after the reload")) == "completed"


def test_a_person_works_with_the_state_of_the_service_and_leaves_it_to_the_service(agent: Service) -> None:
    box, look = agent.machine, ("find", "/var/lib/promptd", "!", "-user", "promptd")
    before = box.run(*look)

    box.run("/usr/local/bin/promptd", "calibrate", "--variant", "gguf-cpu", "--json")

    assert box.path("/var/lib/promptd/calibration.json").exists()
    assert box.run(*look) == before


def test_a_certificate_in_the_home_of_root_is_asked_for_on_the_standard_input(box_1: Machine) -> None:
    box_1.write("/root/reply.json", "{}", 0o600)

    done = box_1.try_to_run("/usr/local/bin/promptd", "identity", "accept", "/root/reply.json")

    assert (done.returncode, "promptd identity accept - < /root/reply.json" in done.stderr) == (78, True)


def test_a_stop_amid_prompts_loses_none(agent: Service, device: Device) -> None:
    tickets = send_many(device)

    agent.do("stop")
    has_put_back = not all(device.answers(ticket) for ticket in tickets)
    agent.do("start")

    assert has_put_back
    assert [device.ending(ticket) for ticket in tickets] == ["completed"] * MANY
    assert [device.answers(ticket) for ticket in tickets] == [1] * MANY


def test_a_stop_ends_agent_and_engine_in_time(agent: Service, engine: Service) -> None:
    agent.do("stop")

    assert (agent.show("Result"), engine.show("Result")) == ("success", "success")
    assert (agent.main_pid, engine.main_pid) == (0, 0)


def test_the_agent_is_not_restarted_with_settings_that_a_person_must_mend(
    agent: Service, change_settings: Callable[[str, str], None]
) -> None:
    change_settings("[broker]", "[brooker]")

    done = agent.machine.try_to_run("systemctl", "restart", "promptd")

    assert (done.returncode, agent.show("ExecMainStatus"), agent.show("ActiveState")) == (1, "78", "failed")


def test_log_lines_are_found_in_the_journal_by_their_fields(agent: Service) -> None:
    agent.do("reload")

    lines = agent.machine.journal("--unit=promptd", "PROMPTD_EVENT=reloaded", "PRIORITY=6", "--output=cat")

    assert json.loads(lines.splitlines()[-1])["event"] == "reloaded"


def test_a_keeper_that_hangs_is_restarted_by_the_watchdog_while_the_agent_stays(
    agent: Service, engine: Service, device: Device
) -> None:
    before, hanging = agent.main_pid, engine.main_pid
    engine.signal("SIGSTOP")

    engine.wait_for_another(hanging, WATCHDOG_S + 60)

    assert device.ending(device.send("after the watchdog")) == "completed"
    assert agent.main_pid == before
