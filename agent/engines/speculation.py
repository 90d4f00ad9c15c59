"""Speculation without a second model: what followed the same few tokens before is guessed to follow again.

The guesses enter the model together with the newest token, and only those that the sampler would have chosen
anyway are kept, so the answer is the same (prompt lookup decoding: apoorvumang/prompt-lookup-decoding).
"""

from collections.abc import Sequence

from agent.engines.pace import Pace

NGRAMS = (3, 2)
"""Lengths of the tokens that must have stood there before, the surest first."""
DRAFT_MAX = 8
HOPE = 0.6
"""The share of right guesses that is expected of a new answer."""
NEWS_SHARE = 0.25
RECOVERY = 1 / 128
"""How much hope one token without a guess brings back, so that a sequence which gave up tries again."""


class Speculation:
    """Guesses the next tokens of one sequence as long as that pays."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._places: dict[tuple[int, ...], int] = {}
        self._hope = HOPE
        self.accepted = self.rejected = 0
        for token in tokens:
            self.push(token)

    def push(self, token: int) -> None:
        """Take note of the next token of prompt or answer."""
        for length in NGRAMS:
            if len(self._tokens) >= length:
                self._places[tuple(self._tokens[-length:])] = len(self._tokens)
        self._tokens.append(token)

    def draft(self, rows: int, room: int, pace: Pace) -> list[int]:
        """Guess at most `room` tokens beside `rows` others; none where they cost more than they bring."""
        found = self._continuation()
        count = self._best_count(rows, min(room, len(found), DRAFT_MAX), pace)
        if not count:
            self._hope = min(HOPE, self._hope + RECOVERY)
        return found[:count]

    def judge(self, guessed: int, right: int) -> None:
        """Learn how many of the guesses were right."""
        self.accepted += right
        self.rejected += guessed - right
        self._hope += NEWS_SHARE * (right / guessed - self._hope)

    def _continuation(self) -> list[int]:
        for length in NGRAMS:
            place = self._places.get(tuple(self._tokens[-length:]))
            if place is not None:
                return self._tokens[place : place + DRAFT_MAX]
        return []

    def _best_count(self, rows: int, most: int, pace: Pace) -> int:
        """Return the number of guesses with the most tokens per millisecond; 0 if none is worth its row."""
        best, best_rate = 0, rows / pace.step_ms(rows)
        expected, chance = float(rows), 1.0
        for count in range(1, most + 1):
            chance *= self._hope
            expected += chance
            rate = expected / pace.step_ms(rows + count)
            if rate > best_rate:
                best, best_rate = count, rate
        return best
