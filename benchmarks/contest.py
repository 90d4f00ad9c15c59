"""Measures a workload: promptd and its peers in turn, each round with questions of its own."""

import contextlib
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from benchmarks.answer import Asker, PeerError
from benchmarks.goals import PROMPTD, Goal
from benchmarks.load import Load, closed_loop, open_loop
from benchmarks.models import Format, model_path
from benchmarks.peers.setup import Setup
from benchmarks.peers.table import PEERS
from benchmarks.workloads import Metric, Workload

THREADS = 2
SLOTS = 8
REST_S = 0.5
"""Between two measurements: an engine's threads spin for a while before they sleep."""
QUICK_ROUNDS = 1
PROMPT_TOKENS_APART = 4
"""How far the peers' counts of one prompt may lie apart."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one peer made of one round."""

    tokens_per_s: float
    answers_per_s: float
    first_p50_s: float
    first_p95_s: float
    wall_s: float
    prompt_tokens: float
    """Of one question, on average; 0 where a peer does not count."""
    completion_tokens: int
    """Of all answers."""

    def get(self, metric: Metric) -> float:
        """Return one of them by its name."""
        return float(getattr(self, metric))


@dataclass(slots=True)
class Contest:
    """One workload in one format."""

    workload: str
    title: str
    model: str
    form: Format
    metric: Metric
    goals: tuple[Goal, ...]
    rounds: list[dict[str, Figures]] = field(default_factory=list)

    def ratio(self, peer: str) -> float:
        """Return the median of promptd's figure divided by the peer's."""
        rounds = [(one[PROMPTD].get(self.metric), one[peer].get(self.metric)) for one in self.rounds]
        return statistics.median(ours / theirs for ours, theirs in rounds)

    def median(self, peer: str, metric: Metric) -> float:
        """Return the median of a figure."""
        return statistics.median(one[peer].get(metric) for one in self.rounds)

    def as_json(self) -> dict[str, object]:
        """Return everything, for the file of raw results."""
        return asdict(self)


def contest(workload: Workload, form: Format, *, is_quick: bool, only: tuple[str, ...] = ()) -> Contest:
    """Start all, warm them up, and measure round after round."""
    goals = tuple(goal for goal in workload.goals[form] if not only or goal.peer in only)
    names = [PROMPTD, *(goal.peer for goal in goals)]
    done = Contest(workload.name, workload.title, workload.model, form, workload.metric, goals)
    setup = Setup(model_path(workload.model, form), form, THREADS, SLOTS, workload.context_tokens)
    count = workload.quick_requests if is_quick else workload.requests
    with _running(names, setup) as askers:
        for name in names:
            closed_loop(askers[name], workload.draw(random.Random(name), workload.at_once), workload.at_once)  # noqa: S311
        arrivals_s = _arrivals_s(workload, askers[names[1]], count) if workload.load else []
        for number in range(min(workload.rounds, QUICK_ROUNDS) if is_quick else workload.rounds):
            round_ = {
                name: _measure(workload, asker, count, number, arrivals_s) for name, asker in askers.items()
            }
            _check(workload, round_)
            done.rounds.append({name: _figures(load) for name, load in round_.items()})
    return done


@contextlib.contextmanager
def _running(names: list[str], setup: Setup) -> Iterator[dict[str, Asker]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(PEERS[name](setup)) for name in names}


def _measure(workload: Workload, asker: Asker, count: int, number: int, arrivals_s: list[float]) -> Load:
    """Ask the questions of this round: the same for every peer, and new to all."""
    time.sleep(REST_S)
    questions = workload.draw(random.Random(number), count)  # noqa: S311 -- repeatable, not secret
    if arrivals_s:
        return open_loop(asker, questions, arrivals_s)
    return closed_loop(asker, questions, workload.at_once)


def _arrivals_s(workload: Workload, peer: Asker, count: int) -> list[float]:
    """Return moments of a Poisson process: a share of the rate that the peer sustains, the same for all."""
    rng = random.Random(workload.name)  # noqa: S311 -- repeatable, not secret
    sustained = closed_loop(peer, workload.draw(rng, 2 * workload.at_once), workload.at_once).answers_per_s
    gaps_s = [rng.expovariate(workload.load * sustained) for _ in range(count)]
    return [sum(gaps_s[:number]) for number in range(count)]


def _check(workload: Workload, round_: dict[str, Load]) -> None:
    """Refuse a round in which not everybody did the same work.

    Raises:
        PeerError: answers are of another length than asked for, or prompts were counted differently.
    """
    ours = round_[PROMPTD]
    for name, load in round_.items():
        lengths = {answer.completion_tokens for answer in load.answers}
        wanted = {question.max_tokens for question in workload.draw(random.Random(0), 1)}  # noqa: S311
        if workload.metric != "answers_per_s" and lengths != wanted:
            raise PeerError(f"{name} answered with {lengths} tokens instead of {wanted}")
        if load.prompt_tokens and abs(load.prompt_tokens - ours.prompt_tokens) > PROMPT_TOKENS_APART:
            raise PeerError(f"{name} counts {load.prompt_tokens} prompt tokens, promptd {ours.prompt_tokens}")


def _figures(load: Load) -> Figures:
    return Figures(
        tokens_per_s=load.tokens_per_s,
        answers_per_s=load.answers_per_s,
        first_p50_s=load.first_s(50),
        first_p95_s=load.first_s(95),
        wall_s=load.wall_s,
        prompt_tokens=load.prompt_tokens,
        completion_tokens=load.completion_tokens,
    )
