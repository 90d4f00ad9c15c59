"""The agent as a service: how it starts, reloads, stops and refuses to start."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig.box import TOPICS, Box, chat
from rig.kinds import StartBox

CANARY = "canary-3f9a1c"


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(20)

    def wait_for(self, word: str) -> None:
        """Read until a state is told that was not told before."""
        while True:
            states = self._socket.recv(4096).decode().split("\n")
            self.heard += [state for state in states if not state.startswith("STATUS=")]
            if word in states:
                return

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    systemd = Systemd(tmp_path / "notify")
    yield systemd
    systemd.close()


def test_sigterm_ends_the_agent_with_zero_and_an_offline_status(start_box: StartBox) -> None:
    box = start_box()

    box.child.send_signal(signal.SIGTERM)

    assert box.child.wait(10) == 0
    assert box.wait_for_state("offline").body["reason"] == "stopped"


def test_sigterm_amid_work_ends_in_time_and_loses_nothing(start_box: StartBox) -> None:
    box = start_box()
    with box.busy_engine() as running:
        waiting = box.send(chat("waits"))
        box.wait_for_health(lambda health: health["queue"]["waiting"] == 1)
        began_s = time.monotonic()
        box.child.send_signal(signal.SIGTERM)
        code = box.child.wait(15)
        took_s = time.monotonic() - began_s

    box.start()

    assert (code, took_s < 10) == (0, True)
    assert [box.ending(ticket).event for ticket in (running, waiting)] == ["completed", "completed"]


def test_a_stopping_agent_takes_nothing_new_but_knows_what_it_has(start_box: StartBox) -> None:
    box = start_box()
    known = chat("known")
    with box.busy_engine():
        ticket = box.send(known)
        box.wait_for_health(lambda health: health["queue"]["waiting"] == 1)
        box.child.send_signal(signal.SIGTERM)
        box.wait_for_state("stopping")
        box.send(known, response_topic=ticket.topic, correlation=ticket.correlation)
        code = box.error_code(box.send(chat("new")))
        box.child.wait(15)

    box.start()

    assert code == "stopping"
    assert box.ending(ticket).event == "completed"


def test_systemd_hears_every_state_in_order(start_box: StartBox, systemd: Systemd) -> None:
    box = start_box()
    box.child.end()
    box.launch({"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "400000"})

    systemd.wait_for("READY=1")
    box.child.send_signal(signal.SIGHUP)
    systemd.wait_for("RELOADING=1")
    systemd.wait_for("READY=1")
    systemd.wait_for("WATCHDOG=1")
    box.child.send_signal(signal.SIGTERM)
    systemd.wait_for("STOPPING=1")

    order = [state for state in systemd.heard if state != "WATCHDOG=1"]
    assert order == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    assert box.child.wait(10) == 0


def test_a_reload_says_what_waits_for_a_restart(start_box: StartBox, systemd: Systemd) -> None:
    box = start_box()
    box.child.end()
    box.start({"NOTIFY_SOCKET": systemd.path})
    box.configure("mqtt://127.0.0.1:1", {"telemetry": {"interval_s": 0.1}})

    box.child.send_signal(signal.SIGHUP)

    line = box.child.wait_for_line(lambda line: '"event": "reloaded"' in line)
    assert '"waits_for_restart": ["broker"]' in line


def test_a_reload_of_a_broken_file_keeps_the_agent_running(start_box: StartBox) -> None:
    box = start_box()
    box.config.write_text("[broker]\nurll = 1\n")

    box.child.send_signal(signal.SIGHUP)

    box.child.wait_for_line(lambda line: "reload_refused" in line and "did you mean broker.url?" in line)
    assert box.ending(box.send(chat("still there?"))).event == "completed"


@pytest.mark.parametrize(
    ("tables", "word"),
    [
        ({"broker": {"urll": "x"}}, "did you mean broker.url?"),
        ({"engine": {"model": "no-such-model"}}, "engine.model"),
        ({"engine": {"require": "onnx-dml-int4", "model": "demo"}}, "cannot run here"),
        ({"broker": {"password_file": "/nowhere", "username": "u"}}, "broker.password_file"),
        ({"broker": {"ca_file": "/nowhere", "url": "mqtts://127.0.0.1"}}, "broker.ca_file"),
    ],
    ids=["unknown key", "unknown model", "impossible variant", "no password file", "no CA file"],
)
def test_a_wrong_configuration_exits_with_78_and_one_sentence(
    start_box: StartBox, tables: dict[str, dict[str, str]], word: str
) -> None:
    box = start_box()
    box.child.end()
    box.configure("mqtt://127.0.0.1:1", tables)

    box.launch()

    assert box.child.wait() == 78
    assert word in box.child.lines[-1]
    assert "Traceback" not in "".join(box.child.lines)


def test_a_second_agent_on_the_same_state_folder_is_refused(start_box: StartBox) -> None:
    box = start_box()
    first = box.child

    second = box.launch()

    code, words = second.wait(), second.lines[-1]
    box.child = first
    assert code == 78
    assert "another promptd uses" in words


def test_the_prompt_stands_in_no_report_and_no_log(start_box: StartBox) -> None:
    box = start_box(logs={"format": "json", "level": "debug"})
    own = (TOPICS.health, TOPICS.status, TOPICS.info)

    box.ending(box.send(chat(CANARY, stream=True)))
    box.ending(box.send(chat(CANARY, seed=-1)))
    box.ending(box.send(CANARY.encode() + b"\0"))

    box.wait_for_health(lambda health: health["requests"]["completed"] == 1)
    told = [reply.payload.decode() for reply in box.requester.replies if reply.topic in own]
    assert CANARY not in "".join((*box.child.lines, *told))


def test_health_has_every_field_of_the_contract(start_box: StartBox) -> None:
    box: Box = start_box()
    box.ending(box.send(chat("hello")))

    health = box.wait_for_health(lambda health: health["requests"]["completed"] == 1)

    top = "time state version uptime_s engine queue link certificate requests speed host gpu"
    assert health.keys() == set(top.split())
    engine = "requested effective model slots active restarts last_token_age_s"
    assert health["engine"].keys() >= set(engine.split())
    queue = "waiting running unsent parked capacity oldest_age_s damaged_ledger"
    assert health["queue"].keys() == set(queue.split())
    assert health["requests"].keys() >= {"accepted", "completed", "failed", "duplicates"}
    assert health["speed"]["first_token_ms"].keys() == {"p50", "p95", "p99"}
    assert health["host"]["memory_available_bytes"] > 0


def test_no_process_leaves_a_core_in_which_prompts_would_stand(start_box: StartBox) -> None:
    box = start_box()

    processes = [box.child.process.pid, box.worker().pid]

    limits = [Path(f"/proc/{pid}/limits").read_text() for pid in processes]
    assert [bool(re.search(r"Max core file size +0 +0 ", text)) for text in limits] == [True, True]
