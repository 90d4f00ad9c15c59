"""The harness where it could lie: a loss not counted, a link not cut, a power cut that harms nothing."""

import datetime as dt
import json
import math
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from rig.mosquitto import Mosquitto

from chaos import packets, power
from chaos.cases import CASES
from chaos.fake_broker import Limits, Prompt
from chaos.kept import keep, kept
from chaos.proxy import HALF_OPEN, Proxy, Weather
from chaos.report import BEGIN, END, Row, write
from chaos.requester import Question, Requester
from chaos.scenarios import SCENARIOS
from chaos.tally import Finding, Tally


def answer(question: Question, text: str, *, code: str = "", status: str = "200") -> MQTTMessage:
    """Return an ending as the network brings it."""
    body: dict[str, Any] = {"choices": [{"message": {"content": text}}]}
    if code:
        body = {"error": {"code": code, "retry_after_ms": 0}}
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.CorrelationData = question.correlation
    properties.UserProperty = [("event", "failed" if code else "completed"), ("status", status)]
    message = MQTTMessage(topic=b"promptd/v1/client/me/response/all")
    message.payload = json.dumps(body).encode()
    message.properties = properties
    return message


@pytest.fixture
def requester(mosquitto: Mosquitto) -> Iterator[Requester]:
    with Requester(mosquitto.port, repeat_s=0.05) as requester:
        yield requester


def test_a_request_that_nobody_answers_is_lost_and_was_repeated(requester: Requester) -> None:
    requester.ask("is anybody there?")

    tally = requester.settle(timeout_s=1)

    assert (tally.expected, tally.lost, tally.complaints()) == (1, 1, ["1 never answered"])
    assert tally.repeats > 0


def test_two_contents_for_one_request_are_different(requester: Requester) -> None:
    question = requester.ask("hello")
    requester._hear(answer(question, "hello"))
    requester._hear(answer(question, "hello, again"))

    tally = requester.settle()

    assert (tally.lost, tally.different, tally.duplicates) == (0, 1, 1)


def test_the_same_bytes_twice_are_a_duplicate_and_not_different(requester: Requester) -> None:
    question = requester.ask("hello")
    requester._hear(answer(question, "hello"))
    requester._hear(answer(question, "hello"))

    tally = requester.settle()

    assert (tally.different, tally.duplicates, tally.complaints()) == (0, 1, [])


def test_an_answer_that_is_no_echo_is_wrong(requester: Requester) -> None:
    question = requester.ask("hello")
    requester._hear(answer(question, "goodbye"))

    tally = requester.settle()

    assert tally.complaints() == ["1 answered with something else"]


def test_a_refusal_for_now_ends_nothing(requester: Requester) -> None:
    question = requester.ask("hello")
    requester._hear(answer(question, "", code="queue_full", status="503"))

    tally = requester.settle(timeout_s=0.2)

    assert tally.lost == 1


def test_an_error_that_the_fault_does_not_explain_is_a_complaint(requester: Requester) -> None:
    question = requester.ask("hello")
    requester._hear(answer(question, "", code="expired", status="408"))

    tally = requester.settle()

    assert tally.complaints(frozenset({"completed", "engine_crashed"})) == ["1 ended as expired"]


class Line:
    """An agent and a broker with the proxy between them."""

    def __init__(self, stack: ExitStack) -> None:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.proxy = stack.enter_context(Proxy(server.getsockname()[1]))
        self.agent = stack.enter_context(socket.create_connection(("127.0.0.1", self.proxy.port)))
        self.broker = stack.enter_context(server.accept()[0])
        self.broker.settimeout(10)


@pytest.fixture
def line(stack: ExitStack) -> Line:
    return Line(stack)


def test_a_cut_resets_both_ends(line: Line) -> None:
    line.proxy.cut()

    with pytest.raises(ConnectionResetError):
        line.agent.recv(1)
    with pytest.raises(ConnectionResetError):
        line.broker.recv(1)


def test_a_closed_door_refuses(line: Line) -> None:
    line.proxy.refuse()
    line.proxy.cut()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", line.proxy.port))


def test_silence_keeps_bytes_back_until_the_link_heals(line: Line) -> None:
    line.proxy.weather = HALF_OPEN
    time.sleep(0.1)  # the proxy may still look at the link as it was
    line.agent.sendall(b"hello")
    line.broker.settimeout(0.3)
    with pytest.raises(TimeoutError):
        line.broker.recv(5)

    line.proxy.heal()

    line.broker.settimeout(10)
    assert line.broker.recv(5) == b"hello"


@pytest.mark.parametrize(
    "weather", [Weather(latency_s=0.3), Weather(bytes_per_s=20), Weather(loss=1.0)], ids=str
)
def test_bad_weather_delays(line: Line, weather: Weather) -> None:
    line.proxy.weather = weather
    time.sleep(0.1)  # as above
    began_s = time.monotonic()
    line.agent.sendall(b"hello!")

    received = line.broker.recv(6)

    assert (received, time.monotonic() - began_s > 0.15) == (b"hello!", True)


def test_a_ledger_that_does_not_wait_for_the_disk_loses_rows_in_most_power_cuts(tmp_path: Path) -> None:
    tally, _ = power.cut(tmp_path, 40, "lax")

    assert tally.different / tally.expected > 0.5


def test_a_packet_survives_being_cut_into_bytes() -> None:
    prompt, buffer = Prompt(text="x" * 200), bytearray()
    whole: list[packets.Packet] = []

    for byte in prompt.packet(7):
        buffer.append(byte)
        whole += packets.split(buffer)

    (one,) = whole
    published = packets.published(one)
    assert (published.correlation, published.qos, published.packet_id) == (prompt.correlation, 1, 7)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(packet_bytes=64), "Maximum Packet Size"),
        (Limits(qos=0), "Maximum QoS"),
        (Limits(takes_retained=False), "Retain Available"),
        (Limits(receive_maximum=1), "Receive Maximum"),
    ],
    ids=str,
)
def test_a_publication_over_a_limit_is_noticed(limits: Limits, words: str) -> None:
    publication = packets.Published("status", 1, is_retained=True, packet_id=1, payload=b"")

    broken = limits.broken_by(65, publication, in_flight=2)

    assert words in broken


def test_at_least_forty_ways_to_break_the_rules_have_a_name_of_their_own() -> None:
    names = {case.name for case in CASES}

    assert len(names) == len(CASES) >= 40


def test_the_table_replaces_the_one_that_stood_on_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}old{END}after\n")

    write([Row(SCENARIOS[0], Finding(1, Tally(), ("it hurts",)), dt.date(2026, 1, 2))], page)

    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert ("old" in text, "it hurts" in text) == (False, True)


def test_a_result_is_kept_until_its_scenario_is_run_again(tmp_path: Path) -> None:
    results, day = tmp_path / "build" / "chaos.json", dt.date(2026, 1, 2)
    never = Finding(1, Tally(3, 2), ("1 never answered",), recoveries_s=(math.inf,))
    fine = Finding(5, Tally(4, 4), recoveries_s=(0.5,))
    keep(Row(SCENARIOS[1], never, day), results)
    keep(Row(SCENARIOS[0], never, day), results)

    keep(Row(SCENARIOS[0], fine, day), results)

    assert [row.finding for row in kept(results)] == [fine, never]
