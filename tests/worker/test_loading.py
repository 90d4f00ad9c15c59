"""How far loading is: told often enough, and by the real library."""

from rig.clock import Clock

from agent.worker.frames import FromWorker, Load, Loaded, Loading
from agent.worker.loading import Account
from agent.worker.process import spawn
from worker.watching import candidate


def told(course: list[tuple[float, float]]) -> list[float]:
    """Return the shares that are told of (second, share) pairs."""
    clock, frames = Clock(), list[FromWorker]()
    account, began_s = Account(frames.append, clock), clock.now_s
    for second, share in course:
        clock.now_s = began_s + second
        account(share)
    return [frame.share for frame in frames if isinstance(frame, Loading)]


def test_a_fast_load_is_told_by_the_percent() -> None:
    shares = told([(0.0, thousandth / 1000) for thousandth in range(1001)])

    assert 90 <= len(shares) <= 101
    assert shares == sorted(set(shares))


def test_a_slow_load_is_told_by_the_second() -> None:
    shares = told([(0.5, 0.001), (1.1, 0.002), (1.5, 0.003), (2.5, 0.004)])

    assert shares == [0.002, 0.004]


def test_what_does_not_advance_is_not_told() -> None:
    shares = told([(0.0, 0.5), (10.0, 0.5), (20.0, 0.4), (30.0, 7.0)])

    assert shares == [0.5, 1.0]


def test_llama_cpp_tells_how_far_it_is() -> None:
    worker = spawn()
    worker.channel.send(Load(candidate("gguf-cpu").options, "agent.engines.llama_cpp"))

    frames = [worker.channel.receive_from_worker()]
    while isinstance(frames[-1], Loading):
        frames.append(worker.channel.receive_from_worker())
    worker.bury()

    shares = [frame.share for frame in frames if isinstance(frame, Loading)]
    assert len(shares) > 1
    assert shares == sorted(set(shares))
    assert isinstance(frames[-1], Loaded)
