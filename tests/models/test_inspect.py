import json
from pathlib import Path
from typing import Any

import pytest

from agent.models.inspect import inspect_path
from agent.wire.errors import ModelError
from models.ggufs import PAIRS, gguf, number, text, write
from models.onnx_files import graph, model, tensor
from models.onnx_folders import config, onnx_folder


@pytest.mark.parametrize(
    ("missing", "fault"),
    [(0, "architecture"), (2, "block_count"), (3, "context_length"), (5, "head_count")],
)
def test_a_gguf_without_a_needed_key_is_refused_by_the_key(missing: int, fault: str, tmp_path: Path) -> None:
    pairs = PAIRS[:missing] + PAIRS[missing + 1 :]

    with pytest.raises(ModelError) as caught:
        inspect_path(write(tmp_path, gguf(pairs)))

    assert fault in str(caught.value)


def test_a_number_out_of_range_is_refused(tmp_path: Path) -> None:
    pairs = (*PAIRS[:2], number("llama.block_count", 0), *PAIRS[3:])

    with pytest.raises(ModelError) as caught:
        inspect_path(write(tmp_path, gguf(pairs)))

    assert "out of range" in str(caught.value)


def test_a_part_of_a_split_model_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, gguf((*PAIRS, number("split.count", 3))))

    with pytest.raises(ModelError) as caught:
        inspect_path(path)

    assert "merge" in str(caught.value)


def test_without_a_file_type_the_precision_is_the_one_of_most_weights(tmp_path: Path) -> None:
    path = write(tmp_path, gguf((PAIRS[0], *PAIRS[2:])))

    model = inspect_path(path)

    assert model.variants[0].precision == "F32"


def test_a_gguf_model_is_named_after_its_file_and_has_measured_sizes(tmp_path: Path) -> None:
    path = write(tmp_path, gguf((*PAIRS, text("general.license", "mit"))), "My Model (v1).gguf")

    model = inspect_path(path)

    assert (model.name, model.license, model.folder) == ("My-Model--v1-", "mit", tmp_path)
    assert model.path_for("gguf-cuda") == path
    assert [(file.size_bytes, file.sha256) for file in model.variants[0].files] == [(path.stat().st_size, "")]


@pytest.mark.parametrize(
    ("providers", "folder", "engines"),
    [
        ([], "cpu-int4-rtn-block-32", ("onnx-cpu-int4",)),
        ([{"cpu": {}}], "model", ("onnx-cpu-int4",)),
        ([{"cuda": {"enable_cuda_graph": "0"}}], "cuda-int4-rtn-block-32", ("onnx-cuda-int4",)),
        ([{"cuda": {}}], "cuda-fp16", ("onnx-cuda-fp16",)),
        ([{"dml": {}}], "directml-int4-awq-block-128", ("onnx-dml-int4",)),
    ],
)
def test_an_onnx_folder_runs_on_the_engine_of_its_provider(
    providers: list[dict[str, Any]], folder: str, engines: tuple[str, ...], tmp_path: Path
) -> None:
    place = onnx_folder(tmp_path / folder, config(providers))

    model = inspect_path(place)

    assert model.variants[0].engines == engines
    assert model.path_for(engines[0]) == place
    assert model.shape.kv_bytes_per_token(2) == 2 * 32 * 8 * 96 * 2


def test_an_onnx_folder_for_a_provider_without_engine_is_refused(tmp_path: Path) -> None:
    place = onnx_folder(tmp_path / "qnn", config([{"QNN": {}}]))

    with pytest.raises(ModelError) as caught:
        inspect_path(place)

    assert "int4 for qnn" in str(caught.value)


@pytest.mark.parametrize("gone", ["model.onnx", "tokenizer.json", "tokenizer_config.json"])
def test_an_onnx_folder_that_misses_a_file_is_refused_by_the_file(gone: str, tmp_path: Path) -> None:
    place = onnx_folder(tmp_path / "model", config([]))
    (place / gone).unlink()

    with pytest.raises(ModelError) as caught:
        inspect_path(place)

    assert gone in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"[]",
        b"{}",
        b"\xff",
        b'{"model": 1}',
        b"[" * 100_000,
        json.dumps(config([], "../x.onnx")).encode(),
        json.dumps(config([], "graphs/x.onnx")).encode(),
        json.dumps(config([], "model.bin")).encode(),
    ],
)
def test_a_malformed_configuration_is_a_model_error(content: bytes, tmp_path: Path) -> None:
    place = onnx_folder(tmp_path / "model", config([]))
    (place / "genai_config.json").write_bytes(content)

    with pytest.raises(ModelError) as caught:
        inspect_path(place)

    assert "genai_config.json" in str(caught.value)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    with pytest.raises(ModelError) as caught:
        inspect_path(tmp_path)

    assert "genai_config.json" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"custom_ops_library": "evil.so"}, "would load native code"),
        ({"enable_profiling": "elsewhere_"}, "would let the runtime write files"),
        ({"custom_ops_library": ""}, "would load native code"),
        ({"config_filename": "../../secret.json"}, "inside the model's folder"),
        ({"adapter_path": "/etc/passwd"}, "inside the model's folder"),
    ],
)
def test_a_configuration_that_names_code_or_files_elsewhere_is_refused(
    change: dict[str, str], fault: str, tmp_path: Path
) -> None:
    content = config([])
    content["model"]["decoder"]["session_options"] |= change
    place = onnx_folder(tmp_path / "model", content)

    with pytest.raises(ModelError) as caught:
        inspect_path(place)

    assert fault in str(caught.value)


def test_of_two_equal_keys_in_a_configuration_none_is_believed(tmp_path: Path) -> None:
    place = onnx_folder(tmp_path / "model", config([]))
    path = place / "genai_config.json"
    path.write_text('{"model": 1, ' + path.read_text().removeprefix("{"))

    with pytest.raises(ModelError) as caught:
        inspect_path(place)

    assert "twice" in str(caught.value)


def test_every_graph_of_a_folder_is_checked(tmp_path: Path) -> None:
    place = onnx_folder(tmp_path / "model", config([]))
    (place / "vision.onnx").write_bytes(model(graph(tensor("../secret"))))

    with pytest.raises(ModelError) as caught:
        inspect_path(place)

    assert "vision.onnx" in str(caught.value)
