"""Keys and values of an ONNX model: one row a slot, and a shelf of prompt beginnings beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Layer:
    """Keys or values of one layer."""

    past: str
    """The graph's input."""
    present: str
    """The graph's output, which is the same memory."""
    rows: Values
    """Of all slots: (slots, kv_heads, context_length, head_dim)."""
    shelf: Values
    """Of all kept tokens, in any order: (kv_heads, cache_tokens, head_dim)."""


def touched(shape: Sequence[int], kind: type[np.generic]) -> Values:
    """Return zeros whose memory is really taken now: a box without room for them fails at the start."""
    values: Values = np.empty(shape, dtype=kind)
    values.fill(0)
    return values


class RowShelf:
    """A segment is a list of places on the shelf, one a token: cutting it in two copies nothing."""

    def __init__(self, layers: Sequence[Layer], tokens: int) -> None:
        self.tokens = self.first_tokens = self.segments = tokens
        self._layers = layers
        self._free = list(range(tokens))
        self._places: dict[int, tuple[int, list[int]]] = {}
        self._next = 0

    @property
    def held_tokens(self) -> int:
        """Places in use."""
        return self.tokens - len(self._free)

    def cost(self, start: int, stop: int) -> int:
        """Return the places a segment takes."""
        return stop - start

    def least_tokens(self, _kept: int) -> int:
        """Return 1: a copy of few tokens is cheap."""
        return 1

    def keep(self, slot: int, start: int, stop: int) -> int:
        """Copy positions of a slot to free places."""
        places = [self._free.pop() for _ in range(start, stop)]
        for layer in self._layers:
            layer.shelf[:, places] = layer.rows[slot, :, start:stop]
        return self._name(start, places)

    def restore(self, segments: Sequence[int], slot: int) -> None:
        """Copy segments into a slot."""
        places = [place for segment in segments for place in self._places[segment][1]]
        for layer in self._layers:
            layer.rows[slot, :, : len(places)] = layer.shelf[:, places]

    def split(self, segment: int, at: int) -> int:
        """Divide the places of a segment."""
        start, places = self._places[segment]
        self._places[segment] = (start, places[: at - start])
        return self._name(at, places[at - start :])

    def drop(self, segment: int) -> None:
        """Free the places of a segment."""
        _, places = self._places.pop(segment)
        self._free += places

    def _name(self, start: int, places: list[int]) -> int:
        self._next += 1
        self._places[self._next] = (start, places)
        return self._next
