import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from agent.models.store import Store
from agent.wire.errors import ModelError
from models.ggufs import gguf, write
from models.onnx_folders import config, onnx_folder


def manifest(name: str = "tiny", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 -- any JSON
    content = gguf()
    file = {"path": "model.gguf", "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    variant = {
        "id": "gguf-f32",
        "format": "gguf",
        "precision": "F32",
        "engines": ["gguf-cpu", "gguf-cuda"],
        "layers": 2,
        "hidden": 64,
        "kv_heads": 2,
        "head_dim": 16,
        "files": [file],
    }
    whole = {
        "name": name,
        "version": "1",
        "family": "llama",
        "parameters": 1000,
        "license": "MIT",
        "context_length": 128,
        "variants": [variant],
    }
    return whole | changes


def install(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    write(folder, gguf())
    (folder / "manifest.json").write_text(json.dumps(content))
    return folder


def with_path(path: str) -> dict[str, Any]:
    content = manifest()
    content["variants"][0]["files"][0]["path"] = path
    return content


def test_an_installed_model_is_found_by_its_name(tmp_path: Path) -> None:
    install(tmp_path / "tiny", manifest())

    model = Store(tmp_path).resolve("tiny")

    assert (model.name, model.shape.head_dim) == ("tiny", 16)
    assert model.path_for("gguf-cpu") == tmp_path / "tiny" / "model.gguf"


def test_the_embedded_model_is_found_as_demo_and_listed_first(tmp_path: Path) -> None:
    install(tmp_path / "package" / "demo", manifest("demo"))
    install(tmp_path / "store" / "another", manifest("another"))
    store = Store(tmp_path / "store", embedded=tmp_path / "package" / "demo")

    names = [model.name for model in store.installed()]

    assert names == ["demo", "another"]
    assert store.resolve("demo").folder == tmp_path / "package" / "demo"


def test_the_embedded_model_of_the_package_is_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    model = store.resolve("demo")

    faults = [finding.fault for finding in store.verify(model)]

    assert set(faults) == {""}
    assert model.path_for("gguf-cpu").suffix == ".gguf"
    assert (model.path_for("onnx-cpu-int4") / "genai_config.json").is_file()


def test_a_folder_that_is_not_named_like_its_model_is_refused(tmp_path: Path) -> None:
    install(tmp_path / "other", manifest("tiny"))

    with pytest.raises(ModelError, match="rename the folder"):
        Store(tmp_path).resolve("other")


def test_a_gguf_file_is_found_by_its_path(tmp_path: Path) -> None:
    path = write(tmp_path, gguf(), "mine.gguf")

    model = Store(tmp_path / "store").resolve(str(path))

    assert (model.name, model.path_for("gguf-cpu")) == ("mine", path)


def test_an_onnx_folder_is_found_by_its_path(tmp_path: Path) -> None:
    folder = onnx_folder(tmp_path / "mine", config([]))

    model = Store(tmp_path / "store").resolve(f"{folder}/")

    assert model.path_for("onnx-cpu-int4") == folder


def test_a_folder_with_a_manifest_is_found_by_its_path(tmp_path: Path) -> None:
    folder = install(tmp_path / "copied", manifest())

    model = Store(tmp_path / "store").resolve(str(folder))

    assert model.name == "tiny"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("phi-3-mini", "run: promptd models pull phi-3-mini"),
        ("phi-3-mni", "did you mean phi-3-mini?"),
        ("zzzz", "known are demo"),
        ("./nothing.gguf", "no file or folder"),
        ("a b", "must be 1 to 64"),
        ("..", "must be 1 to 64"),
        ("", "must be 1 to 64"),
    ],
)
def test_what_is_not_there_is_answered_with_advice(name: str, advice: str, tmp_path: Path) -> None:
    store = Store(tmp_path)

    with pytest.raises(ModelError) as caught:
        store.resolve(name)

    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (manifest(colour="red"), "unknown key colour"),
        (manifest(name="../tiny"), "name: must be"),
        (manifest(context_length=0), "context_length"),
        (manifest(context_length="128"), "context_length"),
        (manifest(variants=[]), "variants"),
        (manifest(variants=manifest()["variants"] * 2), "same id"),
        (with_path("/etc/passwd"), "inside the model's folder"),
        (with_path("../model.gguf"), "inside the model's folder"),
        (with_path("a//b"), "inside the model's folder"),
        (with_path("c:model"), "inside the model's folder"),
        (with_path("a\\b"), "inside the model's folder"),
        ([], "manifest"),
    ],
)
def test_a_manifest_with_a_fault_is_refused_by_the_fault(
    content: dict[str, Any], fault: str, tmp_path: Path
) -> None:
    install(tmp_path / "tiny", content)

    with pytest.raises(ModelError) as caught:
        Store(tmp_path).resolve("tiny")

    assert fault in str(caught.value)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b" " * (1024 * 1024 + 1)])
def test_a_manifest_that_is_not_json_is_a_model_error(raw: bytes, tmp_path: Path) -> None:
    folder = install(tmp_path / "tiny", manifest())
    (folder / "manifest.json").write_bytes(raw)

    with pytest.raises(ModelError) as caught:
        Store(tmp_path).resolve("tiny")

    assert "install the model again" in str(caught.value)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    outside = write(tmp_path, gguf(), "outside.gguf")
    folder = install(tmp_path / "store" / "tiny", manifest())
    (folder / "model.gguf").unlink()
    (folder / "model.gguf").symlink_to(outside)

    with pytest.raises(ModelError) as caught:
        Store(tmp_path / "store").resolve("tiny")

    assert "leaves" in str(caught.value)


def test_a_whole_model_is_verified_with_its_progress(tmp_path: Path) -> None:
    install(tmp_path / "tiny", manifest())
    store = Store(tmp_path)
    told: list[tuple[str, int, int]] = []

    findings = store.verify(store.resolve("tiny"), lambda *step: told.append(step))

    assert [finding.fault for finding in findings] == [""]
    assert told == [("model.gguf", len(gguf()), len(gguf()))]


@pytest.mark.parametrize(
    ("content", "fault"),
    [(gguf()[:-1] + b"x", "SHA-256"), (gguf()[:-1], "bytes instead of"), (None, "is missing")],
)
def test_a_damaged_file_is_found(content: bytes | None, fault: str, tmp_path: Path) -> None:
    folder = install(tmp_path / "tiny", manifest())
    (folder / "model.gguf").unlink()
    if content is not None:
        write(folder, content)
    store = Store(tmp_path)

    findings = store.verify(store.resolve("tiny"))

    assert fault in findings[0].fault


def test_a_file_nobody_has_measured_is_still_read_as_gguf(tmp_path: Path) -> None:
    path = write(tmp_path, gguf(), "mine.gguf")
    store = Store(tmp_path)
    model = store.resolve(str(path))
    path.write_bytes(b"GGML" + gguf()[4:])

    findings = store.verify(model)

    assert "not a GGUF file" in findings[0].fault
