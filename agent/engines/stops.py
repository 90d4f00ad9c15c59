"""Stop strings across token borders: text that may still become a stop string waits."""

from collections.abc import Sequence


class StopWatch:
    """Looks for the first of several stop strings in a growing text."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.has_matched = False

    def push(self, text: str) -> str:
        """Return the text that is certainly before any stop string; nothing after a match."""
        if self.has_matched:
            return ""
        self._held += text
        found = [at for at in (self._held.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.has_matched = True
            safe, self._held = self._held[: min(found)], ""
            return safe
        keep = self._longest_beginning()
        cut = len(self._held) - keep
        safe, self._held = self._held[:cut], self._held[cut:]
        return safe

    def rest(self) -> str:
        """Return the text that waited in vain."""
        rest, self._held = self._held, ""
        return rest

    def _longest_beginning(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0
