"""The guard of a start: what it has read it need not read again, and what changes meanwhile is not served."""

import os
import shutil
from pathlib import Path

import pytest

from agent.models.guard import ModelGuard
from agent.models.manifest import Model
from agent.models.store import EMBEDDED, Store

WEIGHTS = Path("gguf-q8_0", "promptd-demo.q8_0.gguf")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    shutil.copytree(Store(tmp_path).resolve(EMBEDDED).folder, tmp_path / "demo")
    return Store(tmp_path).resolve(f"{tmp_path}/demo/")


@pytest.fixture
def guard(model: Model) -> ModelGuard:
    return ModelGuard(model, model.variants[0])


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def test_a_whole_model_is_admitted_and_read_only_once(guard: ModelGuard) -> None:
    ticks: list[int] = []
    first = guard.admit(lambda: ticks.append(1))
    read = len(ticks)

    second = guard.admit(lambda: ticks.append(1))

    assert (first, second, guard.changed()) == ("", "", "")
    assert 0 < read == len(ticks)


def test_one_flipped_bit_of_the_weights_is_refused(guard: ModelGuard, model: Model) -> None:
    flip(model.folder / WEIGHTS, 3_000_000)

    fault = guard.admit(lambda: None)

    assert "has SHA-256" in fault
    assert "install the model again" in fault


def test_a_file_that_changes_after_it_was_admitted_is_read_again(guard: ModelGuard, model: Model) -> None:
    guard.admit(lambda: None)
    flip(model.folder / WEIGHTS, 3_000_000)

    fault = guard.admit(lambda: None)

    assert "has SHA-256" in fault


def test_a_file_that_is_swapped_while_it_is_loaded_is_noticed(guard: ModelGuard, model: Model) -> None:
    guard.admit(lambda: None)
    other = shutil.copy2(model.folder / WEIGHTS, model.folder / "other")
    os.replace(other, model.folder / WEIGHTS)  # noqa: PTH105 -- as a deployment does, over what is there

    change = guard.changed()

    assert "was changed while it was loaded" in change


def test_a_file_that_is_swapped_and_swapped_back_is_noticed(guard: ModelGuard, model: Model) -> None:
    weights = model.folder / WEIGHTS
    guard.admit(lambda: None)
    kept = weights.rename(model.folder / "kept")
    shutil.copy2(kept, weights)
    kept.replace(weights)

    change = guard.changed()

    assert "was changed while it was loaded" in change


def test_a_file_that_vanishes_is_refused(guard: ModelGuard, model: Model) -> None:
    guard.admit(lambda: None)
    (model.folder / WEIGHTS).unlink()

    fault = guard.admit(lambda: None)

    assert "is missing" in fault
