"""Prompts that would surely start too late are sent away at the door; all others are taken."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.engines.options import Speeds
from agent.flow.intake import Intake, Terms
from agent.flow.ledger import Ledger
from agent.flow.meter import Meter
from agent.flow.publisher import Publisher
from agent.flow.rate import Rate
from agent.wire.packets import Delivery, Publication
from agent.wire.requests import Door
from agent.wire.topics import ResponseTopicRule, Topics
from flow.stage import Stage

TOPICS = Topics("promptd", "box")
SLOW = Speeds(prefill_tokens_per_s=10.0, step_ms=((1, 1000.0),))
"""A hundred tokens take a hundred seconds."""


class Entrance:
    """The door of a device with one slot, and what it says at once."""

    def __init__(self, ledger: Ledger, stage: Stage) -> None:
        self.said: list[dict[str, Any]] = []
        self.ledger, self.stage = ledger, stage
        self._intake = Intake(
            door=Door(TOPICS, "demo", 600.0),
            terms=Terms(ResponseTopicRule(TOPICS.default_response_filters), 10_000, Rate(0)),
            ledger=ledger,
            dispatcher=stage.dispatcher,
            publisher=Publisher(ledger, self._publish, lambda: None),
            publish=self._publish,
            meter=Meter(),
        )

    def fill(self) -> None:
        """Take a prompt that runs and does not end, and one that waits."""
        self.send("runs")
        self.stage.up(slots=1)
        self.stage.started(1)
        self.send("waits")

    def send(self, name: str, **fields: Any) -> None:  # noqa: ANN401 -- JSON
        body = {"id": name, "messages": [{"role": "user", "content": name}], "max_tokens": 100, **fields}
        assert self._intake.receive(Delivery(TOPICS.request("chat"), json.dumps(body).encode()))

    def refusals(self) -> dict[str, dict[str, Any]]:
        bodies = [json.loads(letter.publication.payload) for letter in self.ledger.letters(99)]
        return {body["id"]: body["error"] for body in bodies}

    def _publish(self, publication: Publication) -> int | None:
        self.said.append(json.loads(publication.payload))
        return None


Open = Callable[[Speeds | None], Entrance]


@pytest.fixture
def opened(ledger: Ledger) -> Iterator[Open]:
    """Return a function that opens a device with these measured speeds."""
    stages: list[Stage] = []

    def open_one(speeds: Speeds | None) -> Entrance:
        stages.append(Stage(ledger, speeds))
        return Entrance(ledger, stages[-1])

    yield open_one
    for stage in stages:
        stage.stop()
        assert stage.deaths == []


def test_a_prompt_that_would_surely_start_too_late_is_refused_with_the_time_to_come_back(
    opened: Open,
) -> None:
    entrance = opened(SLOW)
    entrance.fill()

    entrance.send("hurried", timeout_s=20)

    error = entrance.refusals()["hurried"]
    assert error["code"] == "deadline_unreachable"
    assert 150_000 < error["retry_after_ms"] < 250_000
    assert entrance.ledger.depth().waiting == 1


def test_a_prompt_with_time_enough_is_taken_and_hears_when_it_starts_and_ends(opened: Open) -> None:
    entrance = opened(SLOW)
    entrance.fill()

    entrance.send("patient", timeout_s=600, progress=True)

    assert entrance.refusals() == {}
    queue = entrance.said[-1]["queue"]
    assert queue["position"] == 1
    assert 200_000 < queue["predicted_start_ms"] < queue["predicted_finish_ms"] < 350_000


def test_nobody_is_refused_while_nobody_waits(opened: Open) -> None:
    entrance = opened(SLOW)
    entrance.send("runs")
    entrance.stage.up(slots=1)
    entrance.stage.started(1)

    entrance.send("hurried", timeout_s=1)

    assert entrance.refusals() == {}


def test_nobody_is_refused_on_a_device_that_knows_nothing_of_its_speed(opened: Open) -> None:
    entrance = opened(None)
    entrance.fill()

    entrance.send("hurried", timeout_s=1)

    assert entrance.refusals() == {}


def test_whoever_goes_before_all_that_wait_is_not_refused(opened: Open) -> None:
    entrance = opened(SLOW)
    entrance.fill()

    entrance.send("urgent", timeout_s=20, priority="interactive")

    assert entrance.refusals() == {}


def test_a_repeated_prompt_that_waits_already_is_not_refused(opened: Open) -> None:
    entrance = opened(SLOW)
    entrance.send("runs")
    entrance.stage.up(slots=1)
    entrance.stage.started(1)
    entrance.send("early", timeout_s=20)
    entrance.send("next")

    entrance.send("early", timeout_s=20)

    assert entrance.refusals() == {}
    assert entrance.ledger.depth().waiting == 2
