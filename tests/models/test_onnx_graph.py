"""Graphs that name files: only those of their own folder, and only as far as these files reach."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from engines.running import demo
from onnx import helper, numpy_helper

from agent.models import protobuf
from agent.models.onnx_graph import check_onnx_graph
from agent.wire.errors import ModelError
from models.onnx_files import (
    ATTRIBUTE_GRAPH,
    ATTRIBUTE_GRAPHS,
    ATTRIBUTE_SPARSE,
    ATTRIBUTE_TENSOR,
    ATTRIBUTE_TENSORS,
    FUNCTION_ATTRIBUTE,
    FUNCTION_NODE,
    GRAPH_NODE,
    GRAPH_SPARSE,
    MODEL_FUNCTION,
    MODEL_TRAINING,
    NODE_ATTRIBUTE,
    SMALLEST,
    TENSOR_RAW,
    count,
    field,
    graph,
    model,
    tensor,
    tensor_of,
    varint,
)

WEIGHTS_BYTES = 64


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    """Return a function that writes a graph beside its weights."""
    (folder := tmp_path / "model").mkdir()
    (folder / "model.onnx.data").write_bytes(bytes(WEIGHTS_BYTES))

    def write(content: bytes) -> Path:
        (path := folder / "model.onnx").write_bytes(content)
        return path

    return write


def fault(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        check_onnx_graph(path)
    return str(caught.value)


def node(attribute: bytes) -> bytes:
    return field(GRAPH_NODE, field(NODE_ATTRIBUTE, attribute))


@pytest.mark.parametrize(
    "content",
    [
        SMALLEST,
        model(graph(tensor())),
        model(graph(tensor(offset="0", length="64"), tensor(offset="32", length="32"))),
        model(graph(tensor(offset="64", length="0", checksum="x"))),
        model(graph(field(TENSOR_RAW, bytes(32)))),
        SMALLEST + count(99, 1) + varint(98 << 3 | 5) + bytes(4) + varint(97 << 3 | 1) + bytes(8),
    ],
    ids=["smallest", "whole file", "two tensors", "at the end", "weights inside", "unknown fields"],
)
def test_a_graph_with_weights_of_its_own_is_let_in(content: bytes, write: Callable[[bytes], Path]) -> None:
    path = write(content)

    check_onnx_graph(path)

    assert path.is_file()


def test_the_graph_of_the_embedded_model_is_let_in() -> None:
    folder = demo().path_for("onnx-cpu-int4")

    check_onnx_graph(folder / "model.onnx")

    assert (folder / "model.onnx.data").is_file()


@pytest.mark.parametrize(
    "location",
    [
        "../model.onnx.data",
        "a/../../secret",
        "/etc/passwd",
        "",
        ".",
        "./model.onnx.data",
        "model.onnx.data/",
        "c:\\secret",
        "..\\secret",
        "*/_ORT_MEM_ADDR_/*",
        "a\0b",
    ],
)
def test_weights_may_not_lie_outside_of_the_folder(location: str, write: Callable[[bytes], Path]) -> None:
    path = write(model(graph(tensor(location))))

    reason = fault(path)

    assert "must be a path inside the model's folder" in reason


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: model(node(field(ATTRIBUTE_TENSOR, t))),
        lambda t: model(node(field(ATTRIBUTE_TENSORS, t))),
        lambda t: model(node(field(ATTRIBUTE_GRAPH, graph(t)))),
        lambda t: model(node(field(ATTRIBUTE_GRAPHS, node(field(ATTRIBUTE_GRAPH, graph(t)))))),
        lambda t: model(node(field(ATTRIBUTE_SPARSE, field(1, t)))),
        lambda t: model(field(GRAPH_SPARSE, field(2, t))),
        lambda t: SMALLEST + field(MODEL_TRAINING, field(1, graph(t))),
        lambda t: SMALLEST + field(MODEL_FUNCTION, field(FUNCTION_NODE, field(NODE_ATTRIBUTE, field(5, t)))),
        lambda t: SMALLEST + field(MODEL_FUNCTION, field(FUNCTION_ATTRIBUTE, field(ATTRIBUTE_TENSOR, t))),
        lambda t: model(graph(), graph(t)),
    ],
    ids=[
        "attribute",
        "attributes",
        "subgraph",
        "subgraph of a subgraph",
        "sparse attribute",
        "sparse initializer",
        "training",
        "function",
        "default of a function",
        "second graph",
    ],
)
def test_a_tensor_is_found_wherever_it_stands(
    wrap: Callable[[bytes], bytes], write: Callable[[bytes], Path]
) -> None:
    path = write(wrap(tensor("../secret")))

    reason = fault(path)

    assert "'../secret'" in reason


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ({"offset": "64", "length": "1"}, "up to byte 65 of model.onnx.data, which has 64"),
        ({"offset": "65"}, "up to byte 65"),
        ({"length": "999999999999999999"}, "up to byte 999999999999999999"),
        ({"offset": "-1"}, "at '-1'"),
        ({"offset": "1e3"}, "at '1e3'"),
        ({"offset": "٣"}, "at '٣'"),
        ({"length": ""}, "of '' bytes"),
        ({"length": "9" * 19}, "of '9999999999999999999' bytes"),
    ],
)
def test_weights_may_not_lie_beyond_their_file(
    entries: dict[str, str], named: str, write: Callable[[bytes], Path]
) -> None:
    path = write(model(graph(tensor(**entries))))

    reason = fault(path)

    assert named in reason


def test_of_two_locations_none_is_believed(write: Callable[[bytes], Path]) -> None:
    twice = tensor("model.onnx.data") + tensor_of({"location": "model.onnx.data"})
    path = write(model(graph(twice)))

    reason = fault(path)

    assert "'location' twice" in reason


def test_external_data_has_few_entries(write: Callable[[bytes], Path]) -> None:
    path = write(model(graph(tensor(**{f"key{n}": "x" for n in range(16)}))))

    reason = fault(path)

    assert "more than 16 entries" in reason


def test_weights_that_are_missing_are_named(write: Callable[[bytes], Path]) -> None:
    path = write(model(graph(tensor("other.data"))))

    reason = fault(path)

    assert "other.data: No such file" in reason


def test_a_link_may_not_leave_the_folder(write: Callable[[bytes], Path], tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(WEIGHTS_BYTES))
    path = write(model(graph(tensor("linked.data"))))
    (path.parent / "linked.data").symlink_to(tmp_path / "secret")

    reason = fault(path)

    assert "is a link that leaves" in reason


def test_a_pipe_cannot_hold_weights(write: Callable[[bytes], Path]) -> None:
    path = write(model(graph(tensor("pipe"))))
    os.mkfifo(path.parent / "pipe")

    reason = fault(path)

    assert "not a regular file" in reason


def _nested(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = node(field(ATTRIBUTE_GRAPH, content))
    return model(content)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "holds no graph"),
        (b"x", "malformed"),
        (count(1, 8), "holds no graph"),
        (SMALLEST[:-1], "malformed"),
        (SMALLEST + b"\xff" * 11, "malformed"),
        (SMALLEST + b"\x03", "malformed"),
        (SMALLEST + b"\x06", "malformed"),
        (SMALLEST + b"\x02\x00", "malformed"),
        (SMALLEST + varint(99 << 3 | 2) + varint(1 << 62), "malformed"),
        (SMALLEST + varint(99 << 3 | 5) + bytes(3), "malformed"),
        (model(graph(field(13, field(1, b"\xff")))), "UTF-8"),
        (model(graph(field(13, field(2, b"x" * 4097)))), "4097 bytes"),
        (_nested(40), "nested deeper than 100"),
    ],
)
def test_a_malformed_graph_is_a_model_error(
    content: bytes, named: str, write: Callable[[bytes], Path]
) -> None:
    path = write(content)

    reason = fault(path)

    assert named in reason
    assert str(path) in reason


def test_a_graph_cut_at_any_byte_is_refused(write: Callable[[bytes], Path]) -> None:
    whole = model(graph(tensor(), tensor("../secret")))
    let_in = []

    for size in range(len(whole)):
        try:
            check_onnx_graph(write(whole[:size]))
        except ModelError:
            continue
        let_in.append(size)

    assert let_in == []


def test_a_graph_of_too_many_fields_is_refused(
    write: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 100)
    path = write(model(count(1, 1) * 101))

    reason = fault(path)

    assert "more than 100 fields" in reason


def test_weights_inside_the_graph_are_never_read(write: Callable[[bytes], Path]) -> None:
    size_bytes = 1 << 40
    raw = varint(TENSOR_RAW << 3 | 2) + varint(size_bytes)
    inner = varint(5 << 3 | 2) + varint(len(raw) + size_bytes) + raw
    path = write(count(1, 8) + varint(7 << 3 | 2) + varint(len(inner) + size_bytes) + inner)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + size_bytes)

    check_onnx_graph(path)

    assert path.stat().st_size > size_bytes


def test_a_graph_of_the_reference_library_is_understood(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 64]) for name in "xy"]
    whole = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], [weights]))
    onnx.save_model(whole, tmp_path / "g.onnx", save_as_external_data=True, location="g.data")

    check_onnx_graph(tmp_path / "g.onnx")

    (tmp_path / "g.data").write_bytes(bytes(64 * 64 * 4 - 1))
    assert "up to byte 16384 of g.data, which has 16383" in fault(tmp_path / "g.onnx")


def test_half_of_the_weights_of_the_embedded_model_are_not_enough(tmp_path: Path) -> None:
    folder = shutil.copytree(demo().path_for("onnx-cpu-int4"), tmp_path / "model")
    weights = folder / "model.onnx.data"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])

    reason = fault(folder / "model.onnx")

    assert "of model.onnx.data, which has" in reason
