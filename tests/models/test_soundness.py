"""No file reaches an engine unseen: malformed variants are refused with their reason, and the others run."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from engines.running import demo

from agent.models.soundness import fault_of_variant
from agent.models.store import Store
from agent.outfit import Outfit, outfit
from agent.settings import EngineSettings, Settings
from agent.wire.errors import ConfigError, ModelError

GGUF, GRAPH = "gguf-q8_0/promptd-demo.q8_0.gguf", "onnx-cpu-int4/model.onnx"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the embedded model, with its manifest, that a test may damage."""
    return shutil.copytree(demo().folder, tmp_path / "copy")


@pytest.fixture
def judged(copy: Path, tmp_path: Path) -> Callable[..., Outfit]:
    def judge(**wishes: str) -> Outfit:
        engine = EngineSettings(model=str(copy), **wishes)
        return outfit(Settings(state_dir=tmp_path / "state", engine=engine))

    return judge


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def test_a_whole_model_has_a_candidate_for_each_of_its_variants(judged: Callable[..., Outfit]) -> None:
    found = judged()

    assert {one.options.variant for one in found.candidates} >= {"gguf-cpu", "onnx-cpu-int4"}


def test_a_malformed_variant_is_refused_and_the_other_one_runs(
    judged: Callable[..., Outfit], copy: Path
) -> None:
    overwrite(copy / GGUF, 8, b"\xff" * 8)

    found = judged()

    refusal = next(verdict for verdict in found.verdicts if verdict.variant == "gguf-cpu")
    assert (refusal.fits, "claims 18446744073709551615 tensors" in refusal.reason) == (False, True)
    assert "onnx-cpu-int4" in {one.options.variant for one in found.candidates}
    assert "gguf-cpu" not in {one.options.variant for one in found.candidates}


def test_fitting_variants_stand_before_the_malformed_ones(judged: Callable[..., Outfit], copy: Path) -> None:
    overwrite(copy / GGUF, 0, b"GGML")

    found = judged()

    fits = [verdict.fits for verdict in found.verdicts]
    assert fits == sorted(fits, reverse=True)


def test_a_required_variant_that_is_malformed_ends_the_start(
    judged: Callable[..., Outfit], copy: Path
) -> None:
    overwrite(copy / GRAPH, 0, b"\xff" * 16)

    with pytest.raises(ConfigError, match=r"onnx-cpu-int4 cannot run here: .*malformed"):
        judged(require="onnx-cpu-int4")


def test_a_model_without_a_sound_variant_has_no_candidate(judged: Callable[..., Outfit], copy: Path) -> None:
    overwrite(copy / GGUF, 0, b"GGML")
    (copy / GRAPH).write_bytes(b"")

    found = judged()

    assert found.candidates == ()
    assert any("not a GGUF file" in misfit for misfit in found.misfits("auto"))


def test_the_suffix_of_a_file_does_not_save_it_from_the_check(copy: Path) -> None:
    manifest = copy / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(".gguf", ".bin"), encoding="utf-8")
    (copy / GGUF).rename(hidden := (copy / GGUF).with_suffix(".bin"))
    overwrite(hidden, 0, b"GGML")
    model = Store(copy.parent).resolve(f"{copy}/")

    faults = [fault_of_variant(model, variant) for variant in model.variants]

    assert "not a GGUF file" in faults[0]
    assert faults[1] == ""


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer.json", "genai_config.json", "more.json"])
def test_a_pipe_in_an_onnx_folder_is_refused_at_once(name: str, copy: Path) -> None:
    folder = copy / "onnx-cpu-int4"
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    model = Store(copy.parent).resolve(f"{copy}/")

    fault = fault_of_variant(model, model.variants[1])

    assert "not a regular file" in fault
    assert name in fault


def test_a_link_in_an_onnx_folder_may_not_leave_it(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.jinja").write_text("{{ messages }}", encoding="utf-8")
    template = copy / "onnx-cpu-int4" / "chat_template.jinja"
    template.unlink()
    template.symlink_to(tmp_path / "elsewhere.jinja")

    with pytest.raises(ModelError, match="is a link that leaves"):
        Store(copy.parent).resolve(f"{copy}/")


def test_a_link_that_no_manifest_names_may_not_leave_the_folder_either(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text("{}", encoding="utf-8")
    (copy / "onnx-cpu-int4" / "special_tokens_map.json").symlink_to(tmp_path / "elsewhere.json")
    model = Store(copy.parent).resolve(f"{copy}/")

    fault = fault_of_variant(model, model.variants[1])

    assert "is a link that leaves" in fault
