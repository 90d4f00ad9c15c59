import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engines.options import EngineFacts, EngineOptions, Speeds
from agent.wire.prompt import Sampling
from agent.worker.frames import (
    FROM_WORKER,
    MOST,
    TOLD_CHARS,
    Cancel,
    Channel,
    Finished,
    FrameError,
    FromWorker,
    Generate,
    Load,
    Loaded,
    Loading,
    Measured,
    Measuring,
    Progress,
    ToWorker,
)
from agent.worker.framing import LENGTH, MAX_FRAME_BYTES

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS, DURATIONS_MS = st.integers(0, MOST), st.floats(0, MOST)
SHARES = st.floats(0, 1)
TEXTS = st.text(max_size=TOLD_CHARS)
OPTIONS = st.builds(EngineOptions, model=st.none() | st.text(min_size=1).map(Path))
SPEEDS = st.builds(Speeds, NUMBERS, st.lists(st.tuples(st.integers(1, 8), NUMBERS), max_size=4).map(tuple))
SPECIAL: dict[type, st.SearchStrategy[Any]] = {
    Generate: st.builds(Generate, sampling=st.builds(Sampling, temperature=NUMBERS, top_p=NUMBERS)),
    Load: st.builds(Load, options=OPTIONS),
    Loading: st.builds(Loading, share=SHARES),
    Loaded: st.builds(
        Loaded,
        st.builds(EngineFacts, TEXTS, TEXTS, st.integers(1, MOST), COUNTS, COUNTS, COUNTS, COUNTS, TEXTS),
    ),
    Progress: st.builds(Progress, tokens=COUNTS),
    Finished: st.builds(
        Finished,
        prompt_tokens=COUNTS,
        tokens=COUNTS,
        prompt_ms=DURATIONS_MS,
        decode_ms=DURATIONS_MS,
        cached_tokens=COUNTS,
        accepted_tokens=COUNTS,
        rejected_tokens=COUNTS,
    ),
    Measuring: st.builds(Measuring, share=SHARES),
    Measured: st.builds(Measured, speeds=SPEEDS),
}
TO_WORKER_KINDS, FROM_WORKER_KINDS = get_args(ToWorker), get_args(FromWorker)
FACTS = {"device": "cpu", "library": "l", "slots": 1, "context_length": 1, "threads": 1, "vocabulary": 1}
LOADED = {"kind": "loaded", "facts": FACTS}
FINISHED = {
    "kind": "finished",
    "id": "a",
    "text": "t",
    "finish": "stop",
    "prompt_tokens": 1,
    "tokens": 1,
    "prompt_ms": 1.0,
    "decode_ms": 1.0,
}
HONEST = FROM_WORKER.dump_json(Finished("a", "text °C", "stop", 3, 2, 1.5, 2.5))


@contextlib.contextmanager
def pair() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = (Channel(end) for end in socket.socketpair())
    with contextlib.closing(ours), contextlib.closing(theirs):
        yield ours, theirs


def received(raw: bytes) -> FromWorker | None:
    """Return what the agent makes of raw bytes followed by the end of the stream."""
    ours, theirs = socket.socketpair()
    with contextlib.closing(Channel(ours)) as channel:
        with theirs:
            theirs.sendall(raw)
        return channel.receive_from_worker()


def framed(body: bytes) -> bytes:
    return LENGTH.pack(len(body)) + body


@pytest.mark.parametrize("kind", TO_WORKER_KINDS)
@given(data=st.data())
def test_every_frame_of_the_agent_arrives_as_it_was_sent(kind: type, data: st.DataObject) -> None:
    frame = data.draw(SPECIAL.get(kind, st.builds(kind)))

    with pair() as (agent, worker):
        agent.send(frame)
        arrived = worker.receive_from_agent()

    assert arrived == frame


@pytest.mark.parametrize("kind", FROM_WORKER_KINDS)
@given(data=st.data())
def test_every_frame_of_the_worker_arrives_as_it_was_sent(kind: type, data: st.DataObject) -> None:
    frame = data.draw(SPECIAL.get(kind, st.builds(kind)))

    with pair() as (worker, agent):
        worker.send(frame)
        arrived = agent.receive_from_worker()

    assert arrived == frame


@given(st.integers(0, len(HONEST) - 1), st.binary(max_size=6), st.integers(0, 6), st.integers(-5, 5))
def test_a_damaged_frame_is_a_frame_a_frame_error_or_the_end(
    at: int, inserted: bytes, removed: int, miscounted: int
) -> None:
    body = HONEST[:at] + inserted + HONEST[at + removed :]
    raw = LENGTH.pack(max(len(body) + miscounted, 0)) + body

    try:
        frame = received(raw)
    except FrameError:
        frame = None

    assert frame is None or isinstance(frame, FROM_WORKER_KINDS)


@given(st.binary(max_size=200))
def test_bytes_without_any_sense_never_raise_anything_but_a_frame_error(body: bytes) -> None:
    with contextlib.suppress(FrameError):
        received(framed(body))
    with contextlib.suppress(FrameError):
        received(body)


@pytest.mark.parametrize("kept", [0, 1, 3, 4, 5, len(HONEST)])
def test_a_frame_that_breaks_off_is_the_end_of_the_stream(kept: int) -> None:
    raw = framed(HONEST)[:kept]

    frame = received(raw)

    assert frame is None


def test_a_frame_that_announces_too_much_is_refused_before_it_is_read() -> None:
    raw = LENGTH.pack(MAX_FRAME_BYTES + 1)

    with pytest.raises(FrameError, match=f"{MAX_FRAME_BYTES + 1} bytes was announced"):
        received(raw)


def test_a_frame_that_is_too_large_is_not_sent() -> None:
    frame = Progress("a", "x" * MAX_FRAME_BYTES, 1)

    with pair() as (worker, _agent), pytest.raises(FrameError, match="over the limit"):
        worker.send(frame)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"kind": "loaded"},
        {"kind": "unknown", "id": "a"},
        {"kind": "progress", "id": 7, "text": "t", "tokens": 1},
        {"kind": "progress", "id": "a", "text": None, "tokens": 1},
        {"kind": "progress", "id": "a", "text": "t", "tokens": "many"},
        {"kind": "finished", "id": "a", "text": "t", "finish": "bored", "prompt_tokens": 1, "tokens": 1},
        {"kind": "cancel", "id": "a"},
        {"kind": "progress", "id": "a", "text": "t", "tokens": -1},
        {"kind": "progress", "id": "a", "text": "t", "tokens": 10**300},
        {"kind": "loading", "share": 1.5},
        {"kind": "loading", "share": float("nan")},
        FINISHED | {"prompt_ms": float("inf")},
        FINISHED | {"decode_ms": -0.5},
        FINISHED | {"cached_tokens": 1.5},
        LOADED | {"facts": FACTS | {"slots": 0}},
        LOADED | {"facts": FACTS | {"slots": 10**12}},
        LOADED | {"facts": FACTS | {"library": "x" * 1000}},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_a_frame_of_the_wrong_shape_is_a_frame_error(body: object) -> None:
    raw = framed(json.dumps(body).encode())

    with pytest.raises(FrameError, match="breaks its schema"):
        received(raw)


def test_deep_nesting_is_a_frame_error() -> None:
    raw = framed(b"[" * 100_000)

    with pytest.raises(FrameError, match="breaks its schema"):
        received(raw)


def test_a_worker_that_is_silent_for_too_long_is_not_taken_for_one_that_hung_up() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0.01)

    with theirs, contextlib.closing(Channel(ours)) as channel, pytest.raises(TimeoutError):
        channel.receive_from_worker()


def test_whoever_waits_for_a_frame_tells_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.worker.frames.TICK_S", 0.01)
    ours, theirs = socket.socketpair()
    ticks: list[int] = []

    with theirs, contextlib.closing(Channel(ours)) as channel:
        channel.idle = lambda: ticks.append(1) if len(ticks) < 3 else theirs.shutdown(socket.SHUT_WR)
        frame = channel.receive_from_worker()

    assert (frame, len(ticks)) == (None, 3)


def test_what_breaks_the_schema_is_not_repeated() -> None:
    raw = framed(json.dumps({"kind": "the secret word", "id": "the secret word"}).encode())

    with pytest.raises(FrameError) as caught:
        received(raw)

    assert "secret" not in str(caught.value)


def test_frames_keep_their_order() -> None:
    sent = [Cancel(str(number)) for number in range(50)]

    with pair() as (agent, worker):
        for frame in sent:
            agent.send(frame)
        arrived = [worker.receive_from_agent() for _ in sent]

    assert arrived == sent


def test_the_kinds_of_both_directions_differ() -> None:
    kinds = [kind.__dataclass_fields__["kind"].default for kind in (*TO_WORKER_KINDS, *FROM_WORKER_KINDS)]

    assert len(set(kinds)) == len(kinds)
