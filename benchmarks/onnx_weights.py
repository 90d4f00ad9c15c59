"""Random weights of an ONNX model, written straight into its data file."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.int4 import random_pairs

ALIGNMENT_BYTES = 4096
"""Onnxruntime maps weights into memory by whole pages."""
BLOCK = 32
SEED = 7


class DataFile:
    """The data file of a model; every tensor that is added becomes an initializer that points into it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._random = np.random.default_rng(SEED)
        self._file = path.open("wb")
        self.initializers: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, name: str, values: NDArray[Any]) -> str:
        """Write a tensor; return its name."""
        self._file.seek(-(-self._file.tell() // ALIGNMENT_BYTES) * ALIGNMENT_BYTES)
        tensor = onnx.TensorProto(
            name=name,
            dims=values.shape,
            data_type=onnx.helper.np_dtype_to_tensor_dtype(values.dtype),
            data_location=onnx.TensorProto.EXTERNAL,
        )
        place = {"location": self._path.name, "offset": self._file.tell(), "length": values.nbytes}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        self._file.write(values.tobytes())
        self.initializers.append(tensor)
        return name

    def add_int4(
        self, name: str, rows: int, columns: int, scale: float, zero_rows: int = 0
    ) -> tuple[str, str]:
        """Write random int4 weights in blocks of 32; return the names of weights and scales."""
        packed = random_pairs(self._random, (rows, columns // BLOCK, BLOCK // 2))
        scales = np.full((rows, columns // BLOCK), scale, dtype=np.float32)
        scales[:zero_rows] = 0
        return self.add(f"{name}_Q4", packed), self.add(f"{name}_scales", scales)

    def add_normal(self, name: str, rows: int, columns: int, deviation: float) -> str:
        """Write normally distributed float32 numbers; return the name."""
        values = self._random.standard_normal((rows, columns), dtype=np.float32)
        return self.add(name, values * np.float32(deviation))
