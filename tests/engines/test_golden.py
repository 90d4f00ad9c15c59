"""The greedy answers of the demo model against those of Hugging Face in float32.

All files hold the very same weights; what may differ is the arithmetic around them. Measured on two CPU cores
with AVX-512: 60 of 60 texts equal for every shipped file and for both float copies.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from agent.engines.contract import Engine
from engines.float_copies import float_gguf, float_onnx
from engines.running import Golden, Variant, demo, equal, open_variant, together

GGUF = Variant("gguf-cpu", "agent.engines.llama_cpp")
ONNX = Variant("onnx-cpu-int4", "agent.engines.onnx_cpu")
GENAI = Variant("onnx-cpu-int4", "agent.engines.onnx_genai")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the float copies of both shipped files."""
    folder = tmp_path_factory.mktemp("float")
    float_gguf(demo().path_for("gguf-cpu"), folder / "demo.gguf")
    float_onnx(demo().path_for("onnx-cpu-int4"), folder / "onnx")
    return folder


@pytest.fixture(params=[(GGUF, "demo.gguf"), (ONNX, "onnx"), (GENAI, "onnx")], ids=["gguf", "onnx", "genai"])
def in_floats(request: pytest.FixtureRequest, copies: Path) -> Iterator[Engine]:
    variant, name = request.param
    engine = open_variant(variant, copies / name)
    yield engine
    engine.close()


@pytest.mark.parametrize(("variant", "least"), [(GGUF, 0.95), (ONNX, 0.92), (GENAI, 0.92)])
def test_the_shipped_files_answer_like_float32(
    variant: Variant, least: float, opened: Callable[[Variant], Engine], golden: tuple[Golden, ...]
) -> None:
    engine = opened(variant)

    said = together(engine, [one.tokens for one in golden])

    assert equal(said, [one.answer for one in golden]) >= least * len(golden)


def test_in_floats_every_answer_is_the_one_of_hugging_face(
    in_floats: Engine, golden: tuple[Golden, ...]
) -> None:
    prompts = [one.tokens for one in golden]

    said = together(in_floats, prompts)

    assert said == [one.answer for one in golden]


def test_both_shipped_files_hold_the_same_embedding_and_the_same_head(copies: Path) -> None:
    tensors = {one.name: one.data for one in gguf.GGUFReader(copies / "demo.gguf").tensors}
    graph = onnx.load(copies / "onnx" / "model.onnx").graph
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}

    head = next(stored[node.input[1]] for node in graph.node if list(node.output) == ["logits"])

    assert np.array_equal(tensors["token_embd.weight"], stored["model.embed_tokens.weight"])
    assert np.array_equal(tensors["output.weight"], head.T)
