"""What a worker says is untrusted: here the test itself plays a worker on the socket of a unit."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.engines.options import EngineFacts
from agent.settings import EngineSettings
from agent.worker.death import BREACH
from agent.worker.frames import (
    Alive,
    Channel,
    Finished,
    FromWorker,
    Generate,
    Load,
    Loaded,
    Loading,
    Progress,
)
from agent.worker.framing import LENGTH, MAX_FRAME_BYTES
from agent.worker.supervisor import Supervisor
from worker.watching import Witness, candidate

FACTS = EngineFacts("none", "fake", slots=1, context_length=64, threads=1, vocabulary=2)
GARBAGE = [
    pytest.param(LENGTH.pack(5) + b"\xff\xfe\x00{]", BREACH, id="no JSON"),
    pytest.param(LENGTH.pack(2) + b"{}", BREACH, id="no kind"),
    pytest.param(LENGTH.pack(MAX_FRAME_BYTES + 1), BREACH, id="too large"),
    pytest.param(LENGTH.pack(100) + b"{", "hung up", id="breaks off"),
]


class FakeUnit:
    """Listens like an engine unit, and says what the test wants."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._listener.settimeout(10)

    @contextlib.contextmanager
    def agent(self) -> Iterator[tuple[socket.socket, Channel]]:
        """Wait for the agent to connect and to ask for an engine."""
        stream, _ = self._listener.accept()
        stream.settimeout(10)
        with contextlib.closing(Channel(stream)) as channel:
            assert isinstance(channel.receive_from_agent(), Load)
            yield stream, channel

    def close(self) -> None:
        self._listener.close()


def prove(channel: Channel, facts: EngineFacts = FACTS) -> None:
    channel.send(Loaded(facts))
    proof = channel.receive_from_agent()
    assert isinstance(proof, Generate)
    channel.send(Finished(proof.id, "hi", "stop", 1, 1, 1.0, 1.0))


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[FakeUnit]:
    with contextlib.closing(FakeUnit(tmp_path / "engine.sock")) as unit:
        yield unit


@pytest.fixture
def supervisor(unit: FakeUnit, witness: Witness) -> Iterator[Supervisor]:
    supervisor = Supervisor([candidate("echo")], EngineSettings(socket=unit.path), witness)
    thread = threading.Thread(target=supervisor.run, name="supervisor")
    thread.start()
    yield supervisor
    supervisor.stop()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.usefixtures("supervisor")
@pytest.mark.parametrize(("garbage", "cause"), GARBAGE)
def test_a_worker_that_sends_garbage_is_hung_up_on(
    unit: FakeUnit, witness: Witness, garbage: bytes, cause: str
) -> None:
    with unit.agent() as (stream, channel):
        prove(channel)
        witness.wait_for_up()

        stream.sendall(garbage)
        stream.shutdown(socket.SHUT_WR)

        assert channel.receive_from_agent() is None
        assert witness.wait_for_death().cause == cause


@pytest.mark.parametrize(("garbage", "cause"), GARBAGE)
def test_a_worker_that_sends_garbage_instead_of_loading_never_becomes_the_engine(
    unit: FakeUnit, supervisor: Supervisor, garbage: bytes, cause: str
) -> None:
    with unit.agent() as (stream, channel):
        stream.sendall(garbage)
        stream.shutdown(socket.SHUT_WR)

        assert channel.receive_from_agent() is None

    with unit.agent():
        assert supervisor.state.badge is None
        assert supervisor.state.restarts == {f"{cause} while it loaded": 1}


@pytest.mark.parametrize(
    "frames",
    [
        [Loading(0.5), Loading(0.5)],
        [Loading(0.5), Loading(0.4)],
        [Alive()],
        [Loaded(replace(FACTS, slots=3))],
        [Finished("proof", "hi", "stop", 1, 1, 1.0, 1.0)],
    ],
    ids=["stands still", "backwards", "alive but not loaded", "more slots than it was given", "too early"],
)
def test_a_worker_that_loads_in_a_way_no_engine_does_is_not_believed(
    unit: FakeUnit, supervisor: Supervisor, frames: list[FromWorker]
) -> None:
    with unit.agent() as (_stream, channel):
        for frame in frames:
            channel.send(frame)

        assert channel.receive_from_agent() is None

    with unit.agent():
        assert supervisor.state.restarts == {f"{BREACH} while it loaded": 1}


@pytest.mark.parametrize(
    "frame",
    [Finished("other", "hi", "stop", 1, 1, 1.0, 1.0), Progress("other", "hi", 1), Loading(0.5)],
    ids=["an ending", "text", "loading"],
)
def test_a_worker_that_speaks_of_something_else_than_its_proof_is_not_believed(
    unit: FakeUnit, supervisor: Supervisor, frame: FromWorker
) -> None:
    with unit.agent() as (_stream, channel):
        channel.send(Loaded(FACTS))
        channel.receive_from_agent()
        channel.send(frame)

        assert channel.receive_from_agent() is None

    with unit.agent():
        assert supervisor.state.restarts == {f"{BREACH} while it answered a short prompt": 1}


def test_a_worker_that_claims_another_device_is_not_believed(unit: FakeUnit, supervisor: Supervisor) -> None:
    elsewhere = EngineFacts("cuda", "fake", slots=1, context_length=64, threads=1, vocabulary=2)

    with unit.agent() as (_stream, channel):
        channel.send(Loaded(elsewhere))

        assert channel.receive_from_agent() is None

    assert supervisor.state.badge is None


def test_a_worker_that_answers_the_proof_with_nothing_is_not_believed(
    unit: FakeUnit, supervisor: Supervisor
) -> None:
    with unit.agent() as (_stream, channel):
        channel.send(Loaded(FACTS))
        channel.receive_from_agent()
        channel.send(Finished("proof", "", "stop", 1, 0, 1.0, 1.0))

        assert channel.receive_from_agent() is None

    assert supervisor.state.badge is None


@pytest.mark.usefixtures("supervisor")
def test_after_garbage_an_honest_worker_is_taken(unit: FakeUnit, witness: Witness) -> None:
    with unit.agent() as (stream, _channel):
        body = json.dumps({"kind": "loaded", "facts": {"device": 7}}).encode()
        stream.sendall(LENGTH.pack(len(body)) + body)

    with unit.agent() as (_stream, channel):
        prove(channel)

        assert witness.wait_for_up().facts == FACTS
