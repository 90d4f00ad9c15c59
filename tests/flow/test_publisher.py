"""The publisher: four in flight, closed only by the broker's word."""

import json
import threading
from collections.abc import Callable, Iterator

import pytest

from agent.flow import publisher as rules
from agent.flow.ledger import Ledger
from agent.flow.publisher import Publisher
from agent.host.pulse import spawn
from agent.wire.packets import BrokerLimits, Confirmation, Publication
from flow.prompts import answer, claimed, prompt, take

PATIENCE_S = 10


class Wire:
    """Takes publications and remembers them; the test confirms."""

    def __init__(self) -> None:
        self.sent: list[Publication] = []
        self.takes = True
        self._news = threading.Condition()

    def publish(self, publication: Publication) -> int | None:
        with self._news:
            self.sent.append(publication)
            self._news.notify_all()
            return len(self.sent) if self.takes else None

    def wait_for(self, count: int) -> list[str]:
        with self._news:
            self._news.wait_for(lambda: len(self.sent) >= count, PATIENCE_S)
            return [publication.payload.decode() for publication in self.sent]


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def beats() -> threading.Semaphore:
    return threading.Semaphore(0)


@pytest.fixture
def publisher(ledger: Ledger, wire: Wire, beats: threading.Semaphore) -> Iterator[Publisher]:
    publisher = Publisher(ledger, wire.publish, beats.release)
    deaths: list[BaseException] = []
    thread = spawn("publisher", publisher.run, lambda _, error: deaths.append(error))
    yield publisher
    publisher.stop()
    thread.join(PATIENCE_S)
    assert deaths == []


@pytest.fixture
def settle(publisher: Publisher, beats: threading.Semaphore) -> Callable[..., None]:
    """Return a function that confirms a packet and waits until the publisher has handled it."""

    def confirm(packet_id: int, code: int) -> None:
        publisher.confirmed(Confirmation(packet_id, code))
        for _ in range(2):
            while beats.acquire(blocking=False):
                pass
            publisher.wake()
            assert beats.acquire(timeout=PATIENCE_S)

    return confirm


def _fill(ledger: Ledger, count: int) -> None:
    for n in range(count):
        ledger.refuse(answer(str(n)), 600)


def test_nothing_is_sent_without_a_link(ledger: Ledger, wire: Wire, settle: Callable[..., None]) -> None:
    _fill(ledger, 1)

    settle(99, 0)

    assert wire.sent == []


def test_at_most_four_answers_are_in_flight(
    ledger: Ledger, wire: Wire, publisher: Publisher, settle: Callable[..., None]
) -> None:
    _fill(ledger, 6)

    publisher.open(BrokerLimits())

    settle(99, 0)
    assert wire.wait_for(4) == ["0", "1", "2", "3"]


def test_fewer_are_in_flight_where_the_broker_wants_it(
    ledger: Ledger, wire: Wire, publisher: Publisher, settle: Callable[..., None]
) -> None:
    _fill(ledger, 6)

    publisher.open(BrokerLimits(receive_maximum=1))

    settle(99, 0)
    assert wire.wait_for(1) == ["0"]


def test_an_answer_that_is_too_large_for_the_broker_becomes_an_error_that_names_both_sizes(
    ledger: Ledger, wire: Wire, publisher: Publisher
) -> None:
    take(ledger, prompt("a"))
    ledger.finish(claimed(ledger).number, answer('{"id": "a", "text": "' + "x" * 2000 + '"}'))

    publisher.open(BrokerLimits(max_packet_bytes=1000))

    body = json.loads(wire.wait_for(1)[0])
    assert (body["id"], body["error"]["code"]) == ("a", "payload_too_large")
    assert "1000" in body["error"]["message"]


def test_an_answer_that_was_delivered_before_is_not_replaced_when_the_broker_takes_less(
    ledger: Ledger, wire: Wire, publisher: Publisher, settle: Callable[..., None]
) -> None:
    take(ledger, prompt("a"))
    ledger.finish(claimed(ledger).number, answer('{"id": "a", "text": "' + "x" * 2000 + '"}'))
    ledger.delivered(ledger.letters(1)[0].number)
    take(ledger, prompt("a"))

    publisher.open(BrokerLimits(max_packet_bytes=1000))

    settle(99, 0)
    assert (wire.sent, ledger.depth().parked) == ([], 1)


def test_a_confirmation_makes_room_for_the_next(
    ledger: Ledger, wire: Wire, publisher: Publisher, settle: Callable[..., None]
) -> None:
    _fill(ledger, 6)
    publisher.open(BrokerLimits())
    wire.wait_for(4)

    settle(2, 0)

    assert wire.wait_for(5) == ["0", "1", "2", "3", "4"]
    assert ledger.depth().unsent == 5


def test_an_answer_nobody_subscribed_to_counts_as_delivered(
    ledger: Ledger, wire: Wire, publisher: Publisher, settle: Callable[..., None]
) -> None:
    _fill(ledger, 1)
    publisher.open(BrokerLimits())
    wire.wait_for(1)

    settle(1, 0x10)

    assert ledger.depth().unsent == 0


@pytest.mark.parametrize("code", [0x80, 0x83, 0x97])
def test_a_refusal_that_may_pass_leaves_the_answer_open_and_pauses(
    ledger: Ledger, wire: Wire, publisher: Publisher, settle: Callable[..., None], code: int
) -> None:
    _fill(ledger, 1)
    publisher.open(BrokerLimits())
    wire.wait_for(1)

    settle(1, code)

    assert ledger.depth().unsent == 1
    assert wire.wait_for(1) == ["0"]


def test_after_the_pause_the_same_answer_is_sent_again(
    ledger: Ledger,
    wire: Wire,
    publisher: Publisher,
    settle: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules, "PAUSE_S", 0.0)
    _fill(ledger, 1)
    publisher.open(BrokerLimits())
    wire.wait_for(1)

    settle(1, 0x97)

    assert wire.wait_for(2) == ["0", "0"]


@pytest.mark.parametrize("code", [0x87, 0x90, 0x99])
def test_an_answer_that_is_refused_for_good_stands_in_nobodys_way(
    ledger: Ledger, wire: Wire, publisher: Publisher, settle: Callable[..., None], code: int
) -> None:
    _fill(ledger, 5)
    publisher.open(BrokerLimits())
    wire.wait_for(4)

    settle(1, code)

    assert wire.wait_for(5) == ["0", "1", "2", "3", "4"]
    assert ledger.depth().unsent == 4


def test_an_answer_the_client_library_does_not_take_is_kept(
    ledger: Ledger, wire: Wire, publisher: Publisher, settle: Callable[..., None]
) -> None:
    _fill(ledger, 1)
    wire.takes = False
    publisher.open(BrokerLimits())
    wire.wait_for(1)

    settle(99, 0)

    assert ledger.depth().unsent == 1


def test_an_answer_that_breaks_every_link_is_set_aside_and_the_next_one_goes_out(
    ledger: Ledger, wire: Wire, publisher: Publisher
) -> None:
    _fill(ledger, 1)
    publisher.open(BrokerLimits())
    for links in range(1, rules.MAX_LOSSES + 1):
        wire.wait_for(links)
        publisher.open(BrokerLimits())

    ledger.refuse(answer("next"), 60)
    publisher.wake()

    assert wire.wait_for(rules.MAX_LOSSES + 1)[-1] == "next"
    assert ledger.depth().unsent == 1


def test_an_answer_that_was_set_aside_is_tried_again_later(ledger: Ledger) -> None:
    _fill(ledger, 1)
    ledger.park(1)

    ledger.retry_parked()

    assert ledger.depth().unsent == 1
