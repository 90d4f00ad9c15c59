"""What the units forbid, tried from inside: a program in place of promptd, under the same rules."""

from collections.abc import Callable

import pytest

from system import lan
from system.device import Device
from system.machine import Machine
from system.probe import probe
from system.service import Service

DEMO_MODEL = "/opt/promptd/current/lib/python3*/site-packages/agent/models/demo"

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

MEMORY = """
import mmap

def write_and_execute():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)

def answer():
    return attempt(write_and_execute)
"""

READ = """
def read(path):
    def deed():
        with open(path, "rb") as file:
            file.read(1)
    return attempt(deed)

def answer():
    return {{path: read(path) for path in {paths}}}
"""

RULES = ["promptd", "promptd-engine"]
UNITS = pytest.mark.parametrize("unit", RULES)

EVERYWHERE = [
    "/etc/x",
    "/etc/promptd/promptd.toml",
    "/usr/x",
    "/opt/promptd/current/x",
    "/boot/x",
    "/var/lib/x",
    "/srv/x",
]


def maps_of_the_worker(machine: Machine) -> str:
    """Return what files the engine's worker has in its memory."""
    return machine.run("cat", f"/proc/{Service(machine, 'promptd-engine').child_pid}/maps")


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
    agent.machine.run("install", "-D", "-o", "promptd", "/dev/null", "/var/lib/promptd/models/tiny/tiny.gguf")

    outcomes = probe(
        agent.machine,
        unit,
        WRITE.format(paths=["/var/lib/promptd/models/tiny/tiny.gguf", "/var/lib/promptd/models/x"]),
    )

    assert set(outcomes.values()) <= {"EROFS", "EACCES"}


def test_the_engine_writes_nowhere(agent: Service) -> None:
    paths = ["/var/lib/promptd/x", "/var/lib/promptd/ledger.db", "/run/x"]

    outcomes = probe(agent.machine, "promptd-engine", WRITE.format(paths=paths))

    assert set(outcomes.values()) <= {"EROFS", "EACCES", "ENOENT"}


def test_the_engine_reads_no_key_no_prompt_and_no_setting(agent: Service) -> None:
    agent.machine.run("install", "-D", "-o", "promptd", "/dev/null", "/var/lib/promptd/identity/key.pem")
    secrets = ["/var/lib/promptd/identity/key.pem", "/var/lib/promptd/ledger.db", "/etc/promptd/promptd.toml"]

    outcomes = probe(agent.machine, "promptd-engine", READ.format(paths=secrets))

    assert set(outcomes.values()) <= {"EACCES", "ENOENT"}


def test_the_engine_runs_a_model_that_lies_in_the_state_folder(
    agent: Service, device: Device, change_settings: Callable[[str, str], None]
) -> None:
    copy = (
        f"cd /var/lib/promptd/models; cp -r {DEMO_MODEL} copied; sed -i s/demo/copied/ copied/manifest.json"
    )
    agent.machine.run("runuser", "-u", "promptd", "--", "sh", "-c", f"umask 022; {copy}")
    change_settings("[broker]", '[engine]\nmodel = "copied"\n[broker]')

    agent.do("restart")

    assert device.ending(device.send("of another model")) == "completed"
    assert "/var/lib/promptd/models/copied" in maps_of_the_worker(agent.machine)


def test_the_agent_cannot_write_code_and_run_it(agent: Service) -> None:
    outcome = probe(agent.machine, "promptd", MEMORY)

    assert outcome == "EPERM"


@UNITS
def test_a_unit_has_no_privileges_and_sees_no_process_of_others(agent: Service, unit: str) -> None:
    words, others = probe(agent.machine, unit, PROCESSES)

    assert words == {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
    assert others == []


def test_the_engine_cannot_reach_into_the_agent(agent: Service) -> None:
    outcomes = probe(agent.machine, "promptd-engine", REACH.format(pid=agent.main_pid))

    assert set(outcomes) <= {"EACCES", "ENOENT", "EPERM", "ESRCH"}
