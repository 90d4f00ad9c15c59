"""What the units forbid, tried from inside: a program in place of promptd, under the same rules."""

from pathlib import Path

import pytest
from rig.mosquitto import Mosquitto
from system import lan
from system.machine import Machine
from system.probe import probe
from system.service import Service

NETWORK = f"""
def connect():
    with socket.create_connection(("{lan.HOST}", 1883), 5):
        pass

def answer():
    with open("/proc/self/net/dev") as file:
        links = sorted(line.split(":")[0].strip() for line in file if ":" in line)
    return [attempt(connect), links]
"""

WRITE = """
def write(path):
    def deed():
        with open(path, "a"):
            pass
    return attempt(deed)

def answer():
    return {{path: write(path) for path in {paths}}}
"""

PROCESSES = """
def answer():
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    words = {name: status[name].strip() for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")}
    others = [name for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]
    return [words, [open(f"/proc/{name}/comm").read().strip() for name in others]]
"""

REACH = """
def look():
    os.listdir("/proc/{pid}/root/")

def read():
    with open("/proc/{pid}/mem", "rb"):
        pass

def answer():
    return [attempt(look), attempt(read), attempt(lambda: os.kill({pid}, 0))]
"""

RULES = ["promptd", "promptd-engine"]
UNITS = pytest.mark.parametrize("unit", RULES)

EVERYWHERE = ["/etc/x", "/etc/promptd/promptd.toml", "/usr/x", "/opt/promptd/current/x", "/boot/x", "/var/lib/x", "/srv/x"]


def test_the_agent_reaches_the_broker(agent: Service) -> None:
    outcome, links = probe(agent.machine, "promptd", NETWORK)

    assert (outcome, links) == ("done", ["host0", "lo"])


def test_the_engine_has_no_network(agent: Service) -> None:
    outcome, links = probe(agent.machine, "promptd-engine", NETWORK)

    assert (outcome, links) == ("EAFNOSUPPORT", ["lo"])


def test_nothing_can_be_reached_from_where_the_engine_runs(engine: Service) -> None:
    connect = f"import socket; socket.create_connection(('{lan.HOST}', 1883), 5)"
    inside = ["nsenter", f"--target={engine.main_pid}", "--net", "python3", "-c", connect]

    done = engine.machine.try_to_run(*inside)

    assert "Network is unreachable" in done.stderr


@UNITS
def test_nothing_can_be_written_outside_the_state_folder(agent: Service, unit: str) -> None:
    outcomes = probe(agent.machine, unit, WRITE.format(paths=EVERYWHERE))

    assert set(outcomes.values()) <= {"EROFS", "EACCES"}


def test_the_agent_writes_its_state(agent: Service) -> None:
    outcomes = probe(agent.machine, "promptd", WRITE.format(paths=["/var/lib/promptd/x"]))

    assert outcomes == {"/var/lib/promptd/x": "done"}


@UNITS
def test_no_model_file_can_be_written(agent: Service, unit: str) -> None:
    models = agent.machine.path("/var/lib/promptd/models")
    agent.machine.run("install", "-D", "-o", "promptd", "/dev/null", "/var/lib/promptd/models/tiny/tiny.gguf")

    outcomes = probe(agent.machine, unit, WRITE.format(paths=["/var/lib/promptd/models/tiny/tiny.gguf", "/var/lib/promptd/models/x"]))

    assert set(outcomes.values()) <= {"EROFS", "EACCES"}


def test_the_engine_writes_nowhere(agent: Service) -> None:
    paths = ["/var/lib/promptd/x", "/var/lib/promptd/ledger.db", "/run/x"]

    outcomes = probe(agent.machine, "promptd-engine", WRITE.format(paths=paths))

    assert set(outcomes.values()) <= {"EROFS", "EACCES", "ENOENT"}


@UNITS
def test_a_unit_has_no_privileges_and_sees_no_process_of_others(agent: Service, unit: str) -> None:
    words, others = probe(agent.machine, unit, PROCESSES)

    assert words == {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
    assert others == []


def test_the_engine_cannot_reach_into_the_agent(agent: Service) -> None:
    outcomes = probe(agent.machine, "promptd-engine", REACH.format(pid=agent.main_pid))

    assert set(outcomes) <= {"EACCES", "ENOENT", "EPERM", "ESRCH"}
