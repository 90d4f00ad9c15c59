"""How much of a shelf is used: what is kept can slow everybody down, so it must be worth it.

The last prompts are remembered as bare tokens, longer than their keys and values are. A prompt that begins
like one of them, and found nothing kept, is a reason to keep more; many prompts that share nothing are one to
keep less.
"""

from collections import deque
from collections.abc import Sequence

from agent.engines.contract import Shelf

WORTH_KEEPING = 16
"""Shared tokens that are worth it."""
FIRST_TOKENS = 2048
"""What is allowed when reuse is seen for the first time."""
REMEMBERED, PATIENCE = 64, 64
"""Prompts."""
REMEMBERED_TOKENS = 4096
"""Of one prompt."""


class Allowance:
    """Tokens that may be kept; without a shelf none."""

    def __init__(self, shelf: Shelf | None) -> None:
        self._least, self._most = (shelf.first_tokens, shelf.tokens) if shelf else (0, 0)
        self._recent: deque[tuple[int, ...]] = deque(maxlen=REMEMBERED)
        self._unshared = 0
        self.tokens = self._least

    def learn(self, prompt: tuple[int, ...], kept: int) -> None:
        """Hear of a prompt, and how many of its first tokens were kept."""
        if not self._most:
            return
        known = max((common_length(prompt, old) for old in self._recent), default=0)
        self._recent.append(prompt[:REMEMBERED_TOKENS])
        if known - kept >= WORTH_KEEPING:
            self.tokens, self._unshared = min(self._most, max(self.tokens * 2, FIRST_TOKENS)), 0
        elif kept >= WORTH_KEEPING:
            self._unshared = 0
        else:
            self._unshared += 1
        if self._unshared >= PATIENCE:
            self.tokens, self._unshared = max(self._least, self.tokens // 2), 0


def common_length(these: Sequence[int], those: Sequence[int]) -> int:
    """Return how many first tokens are the same."""
    pairs = zip(these, those, strict=False)
    return next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(these), len(those)))
