"""Random four-bit weights, two in a byte."""

import numpy as np
from numpy.typing import NDArray

_PAIRS = np.array([low | high << 4 for high in range(1, 16) for low in range(1, 16)], dtype=np.uint8)
"""Four bits stand for -8 to 7. Without -8 the mean is zero; else all rows would lean the same way."""


def random_pairs(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return bytes of two random weights from -7 to 7 each."""
    return _PAIRS[random.integers(0, len(_PAIRS), shape, dtype=np.uint8)]
