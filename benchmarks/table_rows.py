"""The rows of the table against peers."""

from dataclasses import dataclass

from benchmarks.contest import Contest
from benchmarks.goals import PROMPTD, Goal
from benchmarks.results import Results

UNITS = {"tokens_per_s": "tokens/s", "answers_per_s": "answers/s", "first_p95_s": "s"}
MODELS = {"demo": "demo", "360m": "360 M", "phi3-mini": "Phi-3-mini"}


@dataclass(frozen=True, slots=True)
class Row:
    """One peer in one contest."""

    title: str
    model: str
    form: str
    peer: str
    ratio: float
    """What promptd's figure is, divided by the peer's."""
    goal: float | None
    is_small_better: bool
    detail: str
    """The two figures."""
    when: str

    @property
    def is_reached(self) -> bool:
        """Whether the goal is met; without a goal there is nothing to miss."""
        if self.goal is None:
            return True
        return self.ratio <= self.goal if self.is_small_better else self.ratio >= self.goal

    @property
    def wish(self) -> str:
        """The goal in words."""
        if self.goal is None:
            return ""
        return f"at {'most' if self.is_small_better else 'least'} {self.goal:g}"


def rows_of(results: Results) -> list[Row]:
    """Return all rows, in the order in which they were first measured."""
    return [
        _row(part.contest, goal, part.when)
        for part in results.parts.values()
        if part.contest is not None
        for goal in part.contest.goals
    ]


def _row(contest: Contest, goal: Goal, when: str) -> Row:
    unit = UNITS[contest.metric]
    ours, theirs = (contest.median(peer, contest.metric) for peer in (PROMPTD, goal.peer))
    digits = 2 if theirs < 10 else 1
    return Row(
        title=contest.title,
        model=MODELS[contest.model],
        form="GGUF" if contest.form == "gguf" else "ONNX",
        peer=goal.peer,
        ratio=contest.ratio(goal.peer),
        goal=goal.ratio,
        is_small_better=contest.metric == "first_p95_s",
        detail=f"{ours:.{digits}f} against {theirs:.{digits}f} {unit}",
        when=when,
    )
