"""From logits to a token, one sequence at a time; the same for every engine."""

from collections.abc import Sequence

import numpy as np

from agent.engines.contract import Logits
from agent.wire.errors import EngineError, InvalidField
from agent.wire.prompt import Sampling


class Sampler:
    """Chooses the tokens of one sequence. With equal seeds it chooses equally."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int] = ()) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)
        self._seen = set(prompt)

    def accept(self, token: int) -> None:
        """Take note of a token that the answer now holds."""
        self._seen.add(token)

    def choose(self, logits: Logits) -> int:
        """Return the next token.

        Raises:
            EngineError: the logits are not numbers, which means that the model or the device is broken.
            InvalidField: every token is forbidden.
        """
        if self._sampling.repetition_penalty != 1:
            logits = self._penalized(logits)
        best = int(np.argmax(logits))
        if logits[best] == -np.inf:
            raise InvalidField("no token can follow; relax response_format or the sampling")
        if not np.isfinite(logits[best]):
            raise EngineError("the model returned logits that are not finite numbers")
        if self._sampling.temperature == 0:
            return best
        tokens, weights = self._candidates(logits)
        return int(self._random.choice(tokens, p=weights))

    def _penalized(self, logits: Logits) -> Logits:
        """Make seen tokens less likely: divide what is above 0, multiply what is below (arXiv:1909.05858)."""
        seen = np.fromiter(self._seen, dtype=np.int64)
        changed, penalty = logits.copy(), self._sampling.repetition_penalty
        changed[seen] = np.where(logits[seen] > 0, logits[seen] / penalty, logits[seen] * penalty)
        return changed

    def _candidates(self, logits: Logits) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens by falling probability, cut by top-k, then top-p (nucleus sampling), then min-p."""
        wanted = self._sampling
        count = min(wanted.top_k or len(logits), len(logits))
        tokens = np.argpartition(logits, -count)[-count:] if count < len(logits) else np.arange(len(logits))
        tokens = tokens[np.argsort(-logits[tokens], kind="stable")]
        behind = logits[tokens].astype(np.float64) - float(logits[tokens[0]])
        with np.errstate(over="ignore"):  # a tiny temperature makes all but the best infinitely unlikely
            weights = np.exp(behind / wanted.temperature)
        weights /= weights.sum()
        kept = int(np.searchsorted(np.cumsum(weights), wanted.top_p)) + 1
        kept = min(kept, int(np.count_nonzero(weights >= wanted.min_p * weights[0])))
        tokens, weights = tokens[:kept], weights[:kept]
        return tokens, weights / weights.sum()
