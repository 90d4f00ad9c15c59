"""TLS, client certificates, passwords and broker ACLs, with a real mosquitto."""

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rig.box import TOPICS, Box, chat
from rig.certificates import Certificates
from rig.kinds import Connect, StartBroker
from rig.mosquitto import Mosquitto

Launch = Callable[..., Box]


@pytest.fixture
def member(tmp_path: Path, stack: ExitStack, connect: Connect) -> Launch:
    """Return a function that launches a device at a broker that demands something."""

    def launch(broker: Mosquitto, how: dict[str, Any], **settings: str) -> Box:
        box = Box(tmp_path, broker.url, connect(broker.port, **how), {"broker": settings})
        stack.callback(box.launch().end)
        return box

    return launch


def _tls(broker: Mosquitto, certificates: Certificates, **files: str) -> dict[str, str]:
    return {"url": f"mqtts://127.0.0.1:{broker.port}"} | {
        key: certificates.path(name) for key, name in files.items()
    }


def test_a_device_speaks_tls(
    start_mosquitto: StartBroker, certificates: Certificates, member: Launch
) -> None:
    broker = start_mosquitto(*certificates.broker_lines())

    box = member(broker, {"tls": certificates.context()}, **_tls(broker, certificates, ca_file="ca.pem"))

    box.wait_for_state("ready")
    assert box.ending(box.send(chat("hello"))).event == "completed"


def test_a_device_shows_its_certificate(
    start_mosquitto: StartBroker, certificates: Certificates, member: Launch
) -> None:
    broker = start_mosquitto(*certificates.broker_lines(wants_client=True))
    files = _tls(broker, certificates, ca_file="ca.pem", cert_file="device.pem", key_file="device.key")

    box = member(broker, {"tls": certificates.context()}, **files)

    box.wait_for_state("ready")
    assert box.ending(box.send(chat("hello"))).event == "completed"


def test_a_broker_of_a_stranger_is_refused_and_the_log_says_what_to_do(
    start_mosquitto: StartBroker, certificates: Certificates, member: Launch
) -> None:
    broker = start_mosquitto(*certificates.broker_lines())

    box = member(
        broker, {"tls": certificates.context()}, **_tls(broker, certificates, ca_file="stranger.pem")
    )

    line = box.child.wait_for_line(lambda line: "broker_link_lost" in line)
    assert "broker.ca_file" in line


PASSWORDS = "passwords"


@pytest.fixture
def guarded(tmp_path: Path, start_mosquitto: StartBroker) -> Mosquitto:
    """Return a broker that knows `box` and `test`, and lets `box` answer only on its own topics."""

    for name in ("box", "test"):
        flags = [] if (tmp_path / PASSWORDS).exists() else ["-c"]
        subprocess.run(
            ["mosquitto_passwd", "-b", *flags, str(tmp_path / PASSWORDS), name, f"{name}-secret"],
            check=True,
            timeout=20,
            capture_output=True,
        )
    prefix = TOPICS.prefix
    (tmp_path / "acl").write_text(
        f"user box\ntopic read {prefix}/request/+\n"
        f"topic write {prefix}/status\ntopic write {prefix}/info\n"
        f"topic write {prefix}/health\ntopic write {prefix}/response/#\n"
        f"user test\ntopic readwrite promptd/#\n"
    )
    (tmp_path / "password").write_text("box-secret\n")
    return start_mosquitto(f"password_file {tmp_path / PASSWORDS}", f"acl_file {tmp_path / 'acl'}")


LOGIN = {"login": ("test", "test-secret")}


def test_a_device_logs_in_with_the_password_from_its_file(
    guarded: Mosquitto, tmp_path: Path, member: Launch
) -> None:
    box = member(guarded, LOGIN, username="box", password_file=str(tmp_path / "password"))
    box.wait_for_state("ready")

    box.send(chat("hello", id="in"), response_topic="", correlation=b"")

    box.requester.wait_for(lambda reply: reply.topic == TOPICS.response("in") and reply.event == "completed")


def test_a_wrong_password_is_told_in_the_log(guarded: Mosquitto, tmp_path: Path, member: Launch) -> None:
    (tmp_path / "password").write_text("wrong")

    box = member(guarded, LOGIN, username="box", password_file=str(tmp_path / "password"))

    line = box.child.wait_for_line(lambda line: "broker_refused" in line)
    assert "Not authorized" in line


def test_an_answer_the_acl_forbids_is_set_aside_and_the_next_one_delivered(
    guarded: Mosquitto, tmp_path: Path, member: Launch
) -> None:
    box = member(guarded, LOGIN, username="box", password_file=str(tmp_path / "password"))
    box.wait_for_state("ready")
    forbidden = box.send(chat("hello"))
    box.child.wait_for_line(lambda line: "answer_refused" in line and "0x87" in line)

    box.send(chat("hello", id="next"), response_topic="", correlation=b"")

    box.requester.wait_for(lambda reply: reply.topic == TOPICS.response("next"))
    assert not box.endings(forbidden)
