"""Concurrent requesters: so many at once, or at given moments."""

import statistics
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.answer import Answer, Asker, Question
from benchmarks.percentile import percentile

START_S = 0.2
"""From the start of the requesters to the first request."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a peer made of one load."""

    answers: tuple[Answer, ...]
    """In the order of the questions."""

    @property
    def wall_s(self) -> float:
        """From the first request to the end of the last answer."""
        return max(one.ended_s for one in self.answers) - min(one.sent_s for one in self.answers)

    @property
    def completion_tokens(self) -> int:
        """Of all answers."""
        return sum(one.completion_tokens for one in self.answers)

    @property
    def tokens_per_s(self) -> float:
        """Completion tokens of all answers over the wall time."""
        return self.completion_tokens / self.wall_s

    @property
    def answers_per_s(self) -> float:
        """Answers over the wall time."""
        return len(self.answers) / self.wall_s

    def first_s(self, q: float) -> float:
        """Return a percentile of the times to the first token."""
        return percentile([one.first_s - one.sent_s for one in self.answers], q)

    @property
    def prompt_tokens(self) -> float:
        """Of one question, on average."""
        return statistics.fmean(one.prompt_tokens for one in self.answers)


def closed_loop(asker: Asker, questions: Sequence[Question], at_once: int) -> Load:
    """Keep so many questions in hand until all are answered."""
    waiting = deque(enumerate(questions))

    def work() -> None:
        while True:
            try:
                number, question = waiting.popleft()
            except IndexError:
                return
            answers[number] = asker.ask(question)

    answers: dict[int, Answer] = {}
    _run([threading.Thread(target=work) for _ in range(at_once)])
    return _load(answers, len(questions))


def open_loop(asker: Asker, questions: Sequence[Question], arrivals_s: Sequence[float]) -> Load:
    """Ask each question at its moment, whether or not others have been answered."""
    began_s = time.perf_counter() + START_S

    def work(number: int) -> None:
        time.sleep(max(0.0, began_s + arrivals_s[number] - time.perf_counter()))
        answers[number] = asker.ask(questions[number])

    answers: dict[int, Answer] = {}
    _run([threading.Thread(target=work, args=(number,)) for number in range(len(questions))])
    return _load(answers, len(questions))


def _run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _load(answers: dict[int, Answer], expected: int) -> Load:
    if len(answers) != expected:
        raise SystemExit(f"only {len(answers)} of {expected} questions were answered; see the errors above")
    return Load(tuple(answers[number] for number in range(expected)))
