"""Thousands of damaged copies of the embedded model: judged or refused, never an accident, never for long.

`MUTATIONS=100000 .venv/bin/python -m pytest tests/models/test_mutations.py` judges as many of each kind.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from engines.running import demo

from agent.models.gguf_header import read_gguf_header
from agent.models.inspect import inspect_path
from agent.models.onnx_graph import check_onnx_graph
from agent.wire.errors import ModelError
from models.mutations import mutants
from models.onnx_files import SMALLEST

COUNT = int(os.environ.get("MUTATIONS", "1000"))
LONGEST_S = 2.0


def slowest_s(
    judge: Callable[[Path], object], path: Path, contents: Iterable[bytes], size_bytes: int
) -> float:
    """Judge every content, with holes behind it up to `size_bytes`; return the longest time that one took."""
    longest_s = 0.0
    for content in contents:
        path.write_bytes(content)
        os.truncate(path, max(size_bytes, len(content)))
        started_s = time.perf_counter()
        try:
            judge(path)
        except ModelError as error:
            assert str(error)  # noqa: PT017 -- most mutants are refused, some are not
        longest_s = max(longest_s, time.perf_counter() - started_s)
    return longest_s


def test_a_mutated_gguf_header_is_judged_or_refused(tmp_path: Path) -> None:
    whole = demo().path_for("gguf-cpu").read_bytes()
    weights_bytes = sum(tensor.size_bytes for tensor in read_gguf_header(demo().path_for("gguf-cpu")).tensors)
    header = whole[: len(whole) - weights_bytes]

    longest_s = slowest_s(inspect_path, tmp_path / "m.gguf", mutants(header, COUNT, seed=1), len(whole))

    assert longest_s < LONGEST_S


def test_a_mutated_onnx_graph_is_judged_or_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(demo().path_for("onnx-cpu-int4"), tmp_path / "model")
    graph = (folder / "model.onnx").read_bytes()

    longest_s = slowest_s(check_onnx_graph, folder / "model.onnx", mutants(graph, COUNT, seed=2), 0)

    assert longest_s < LONGEST_S


def test_a_mutated_configuration_is_judged_or_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(demo().path_for("onnx-cpu-int4"), tmp_path / "model")
    config = (folder / "genai_config.json").read_bytes()
    (folder / "model.onnx").write_bytes(SMALLEST)

    longest_s = slowest_s(
        lambda _: inspect_path(folder), folder / "genai_config.json", mutants(config, COUNT, seed=3), 0
    )

    assert longest_s < LONGEST_S
