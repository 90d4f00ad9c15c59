"""Measures how fast a loaded engine is: a prompt, and decode steps with 1, 2, 4 and 8 sequences.

It drives the engine itself, without the step loop, so that nothing but the forward pass is in the figures.
However large the model is, it ends: each point has a budget of time, after which it takes no more samples.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from statistics import median, quantiles

from agent.engines.contract import Engine, Feed, Tell
from agent.engines.options import Speeds

SEQUENCES = (1, 2, 4, 8)
DEPTH_TOKENS = 128
"""Tokens in each sequence before its decode steps are timed."""
LEAST_DEPTH_TOKENS = 8
WARM_UP_TOKENS = 16
STEPS = 16
ROUNDS_BUDGET_S = 4.0
"""So long a small model is measured again and again, because the box has other things to do now and then."""
FILL_BUDGET_S, POINT_BUDGET_S = 8.0, 4.0
STEADY_SPREAD = 1.5
SEED = 20
PREFILL = 0
"""The point at which prompts are measured; the others are numbers of sequences."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Speeds, and what kept them from being measured as usual."""

    speeds: Speeds
    notes: tuple[str, ...]


def measure(engine: Engine, tell: Tell = lambda _share: None) -> Measurement:
    """Measure an engine whose slots are empty, and leave them empty.

    Raises:
        EngineError: the runtime failed.
    """
    course = _Course(engine, tell)
    try:
        return course.run()
    finally:
        course.clear()


class _Course:
    """Sequences of random tokens, each in a slot of its own."""

    def __init__(self, engine: Engine, tell: Tell) -> None:
        self._engine = engine
        self._tell = tell
        self._random = Random(SEED)  # noqa: S311 -- any tokens will do, the same ones every time
        self._lengths = [0] * min(engine.facts.slots, SEQUENCES[-1])
        self._sizes = [sequences for sequences in SEQUENCES if sequences <= len(self._lengths)]
        self._samples_s: dict[int, list[float]] = {point: [] for point in (PREFILL, *self._sizes)}
        self._began_s = time.perf_counter()

    def run(self) -> Measurement:
        """Measure all points, again as long as there is time; the medians count."""
        depth = self._warm_up()
        self._round(depth)
        while self._elapsed_s() < ROUNDS_BUDGET_S:
            self.clear()
            self._round(depth)
        steps_s = {sequences: self._samples_s[sequences] for sequences in self._sizes}
        step_ms = tuple((sequences, median(samples_s) * 1000) for sequences, samples_s in steps_s.items())
        prefill_tokens_per_s = depth / median(self._samples_s[PREFILL])
        return Measurement(Speeds(prefill_tokens_per_s, step_ms), _notes(depth, steps_s.values()))

    def _round(self, depth: int) -> None:
        for slot in range(len(self._lengths)):
            self._note(PREFILL, [self._advance([slot], depth)])
        for sequences in self._sizes:
            self._note(sequences, self._steps(sequences))

    def _note(self, point: int, samples_s: list[float]) -> None:
        """Keep samples and tell how far it is; one round is the least there is to do."""
        self._samples_s[point].extend(samples_s)
        fills, steps = len(self._samples_s[PREFILL]), sum(bool(self._samples_s[one]) for one in self._sizes)
        share_of_round = (fills + steps) / (len(self._lengths) + len(self._sizes))
        self._tell(min(share_of_round, self._elapsed_s() / ROUNDS_BUDGET_S, 1.0))

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self._began_s

    def clear(self) -> None:
        """Empty the slots."""
        for slot in range(len(self._lengths)):
            self._engine.truncate(slot, 0)
            self._lengths[slot] = 0

    def _warm_up(self) -> int:
        """Let the engine allocate what it allocates once; return how deep there is time to fill all slots."""
        took_s = self._advance([0], WARM_UP_TOKENS)
        self.clear()
        affordable = int(FILL_BUDGET_S / len(self._lengths) / took_s * WARM_UP_TOKENS)
        return min(DEPTH_TOKENS, self._room(), max(affordable, LEAST_DEPTH_TOKENS))

    def _room(self) -> int:
        return self._engine.facts.context_length - len(SEQUENCES) * (STEPS + 1)

    def _steps(self, sequences: int) -> list[float]:
        """Return the seconds of up to `STEPS` decode steps; the first one of this size is not counted."""
        slots, durations_s = list(range(sequences)), list[float]()
        self._advance(slots, 1)
        began_s = time.perf_counter()
        while len(durations_s) < STEPS:
            durations_s.append(self._advance(slots, 1))
            if time.perf_counter() - began_s > POINT_BUDGET_S:
                break
        return durations_s

    def _advance(self, slots: list[int], tokens: int) -> float:
        """Feed so many tokens to each slot in one forward step; return its seconds."""
        feeds = [Feed(slot, self._tokens(tokens), self._lengths[slot], outputs=1) for slot in slots]
        began_s = time.perf_counter()
        self._engine.forward(feeds)
        took_s = time.perf_counter() - began_s
        for slot in slots:
            self._lengths[slot] += tokens
        return took_s

    def _tokens(self, count: int) -> list[int]:
        found: list[int] = []
        while len(found) < count:
            token = self._random.randrange(self._engine.facts.vocabulary)
            if token not in self._engine.end_tokens:
                found.append(token)
        return found


def _notes(depth: int, points_s: Collection[list[float]]) -> tuple[str, ...]:
    notes, fewest = [], min(len(samples_s) for samples_s in points_s)
    if depth < DEPTH_TOKENS:
        notes.append(f"measured with {depth} instead of {DEPTH_TOKENS} prompt tokens, to end in time")
    if fewest < STEPS:
        notes.append(f"the slowest decode speed is of {fewest} instead of {STEPS} steps, to end in time")
    if max(_spread(samples_s) for samples_s in points_s) > STEADY_SPREAD:
        notes.append("the steps took very different times: measure again when nothing else runs on this box")
    return tuple(notes)


def _spread(samples_s: list[float]) -> float:
    """Return how many times longer the slower steps took than the faster ones."""
    if len(samples_s) < STEPS:
        return 1.0
    faster_s, _, slower_s = quantiles(samples_s, n=4)
    return slower_s / faster_s
