"""Guesses when a prompt will start and end: from measured speeds, and from how long the last answers took.

Pure arithmetic. The tokens of a prompt are unknown before the worker sees it, so its bytes stand for them.
"""

from dataclasses import dataclass

from agent.engines.options import Speeds
from agent.flow.meter import Experience
from agent.wire.prompt import Prompt

BYTES_PER_TOKEN = 4
ENOUGH_ANSWERS = 8
"""So many answers tell how long a prompt takes, also where nothing was measured."""
OPTIMISM = 0.5
"""A prompt is refused only if even half of the predicted wait is too long: guesses are often wrong by two."""
SHORTEST_RETRY_MS = 1000


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a prompt is likely to start and to end, in milliseconds from now; None where nobody knows."""

    start_ms: int | None = None
    finish_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a forecast is made of."""

    slots: int
    """0 while no engine runs."""
    running: int
    speeds: Speeds | None
    experience: Experience | None

    def forecast(self, prompt: Prompt, ahead: int) -> Forecast:
        """Return when a prompt with so many others before it in the queue starts and ends."""
        if not self.slots:
            return Forecast()
        own_ms = self._own_ms(prompt)
        to_end = max(0, ahead + self.running + 1 - self.slots)
        # Whoever waits before it is taken for a prompt like the last ones, or like this one.
        typical_ms = self.experience.run_ms if self.experience else own_ms
        if to_end and typical_ms is None:
            return Forecast()
        start_ms = to_end * (typical_ms or 0.0) / self.slots
        return Forecast(round(start_ms), None if own_ms is None else round(start_ms + own_ms))

    def retry_after_ms(self, prompt: Prompt, ahead: int) -> int | None:
        """Return when to ask again if the prompt will surely start too late; None when it may be in time."""
        is_known = self.speeds or (self.experience and self.experience.answers >= ENOUGH_ANSWERS)
        start_ms = self.forecast(prompt, ahead).start_ms
        allowed_ms = prompt.timeout_s * 1000
        if not ahead or not is_known or start_ms is None or start_ms * OPTIMISM <= allowed_ms:
            return None
        return max(SHORTEST_RETRY_MS, round(start_ms - allowed_ms))

    def _own_ms(self, prompt: Prompt) -> float | None:
        """Return how long the prompt itself will hold its slot."""
        lengths = [prompt.max_tokens, self.experience.tokens if self.experience else None]
        answer_tokens = min((length for length in lengths if length is not None), default=None)
        if self.speeds is None or answer_tokens is None:
            return self.experience.run_ms if self.experience else None
        step_ms = self.speeds.step_ms_with(min(self.running + 1, self.slots))
        prefill_ms = _prompt_tokens(prompt) / self.speeds.prefill_tokens_per_s * 1000
        return prefill_ms + answer_tokens * step_ms


def _prompt_tokens(prompt: Prompt) -> int:
    texts = [prompt.text, *(message.content for message in prompt.messages)]
    return sum(len(text.encode()) for text in texts) // BYTES_PER_TOKEN + 1
