"""How long a step takes on this box, learned while it runs; it decides how much of a prompt enters."""

from agent.engines.options import Speeds

NEWS_SHARE = 0.2
"""How much the newest measurement counts."""
ROW_SHARE = 0.35
"""What one more row is taken to cost, as a share of a step with one row, until somebody has measured."""
CHUNK_MS = 250.0
"""How long a chunk may make others wait: for their next token, for their first one, or for a cancellation."""
CHUNK_MIN, CHUNK_FIRST, CHUNK_MAX = 32, 128, 512
"""In tokens. Below the smallest chunk, reading a prompt is as slow as writing an answer."""


class Pace:
    """Milliseconds of a step by its rows, and of a prompt token."""

    def __init__(self, speeds: Speeds | None) -> None:
        self._step_ms = dict(speeds.step_ms) if speeds else {}
        self._read_ms = 1000 / speeds.prefill_tokens_per_s if speeds else 0.0

    def note(self, *, rows: int, read: int, took_ms: float) -> None:
        """Learn from a step: `rows` tokens of answers and drafts, `read` tokens of prompts."""
        if not read:
            self._step_ms[rows] = _mixed(self._step_ms.get(rows), took_ms)
        elif read >= CHUNK_MIN:
            self._read_ms = _mixed(self._read_ms or None, took_ms / (rows + read))

    def step_ms(self, rows: int) -> float:
        """Return what a step without prompts takes, between or beyond the numbers of rows seen so far."""
        seen = sorted(self._step_ms)
        if not seen:
            return 1 + ROW_SHARE * (rows - 1)
        below = max((n for n in seen if n <= rows), default=seen[0])
        above = min((n for n in seen if n >= rows), default=below)
        if above != below:
            slope = (self._step_ms[above] - self._step_ms[below]) / (above - below)
        else:
            slope = self._step_ms[below] * ROW_SHARE / (1 + ROW_SHARE * (below - 1))
        return self._step_ms[below] + slope * (rows - below)

    def pays_apart(self, tokens: int, rows: int) -> bool:
        """Tell whether tokens of one sequence should have a pass of their own, not a row in each later step.

        A pass moves all weights once more; a step with so many `rows` is under way anyhow.
        """
        return self.step_ms(tokens) < tokens * self.step_ms(rows) / rows

    def chunk_tokens(self) -> int:
        """Return how many tokens of prompts may enter the next step."""
        if not self._read_ms:
            return CHUNK_FIRST
        return int(min(max(CHUNK_MS / self._read_ms, CHUNK_MIN), CHUNK_MAX))


def _mixed(old: float | None, new: float) -> float:
    return new if old is None else old + NEWS_SHARE * (new - old)
