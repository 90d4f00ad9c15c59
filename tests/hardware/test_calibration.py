"""The file of measurements: what counts here and now, what is kept for later, and what is no measurement."""

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.typing import EventDict

from agent.engines.options import Speeds
from agent.hardware import calibration as calibration_file
from agent.hardware.calibration import FILE_NAME, Bench, Calibration
from agent.hardware.facts import Facts
from agent.models.manifest import Model, ModelFile

SPEEDS = Speeds(412.5, ((1, 20.5), (2, 24.0), (4, 31.0), (8, 50.0)))
FASTER = Speeds(900.0, ((1, 10.0),))


@pytest.fixture
def bench(box: Facts, phi: Model) -> Bench:
    return Bench(box, phi, threads=4)


@pytest.fixture
def calibration(tmp_path: Path) -> Calibration:
    return Calibration(tmp_path)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EventDict]]:
    # A logger that was used before keeps the processors of that time, so it is a fresh one here.
    monkeypatch.setattr(calibration_file, "LOG", structlog.get_logger())
    with structlog.testing.capture_logs() as lines:
        yield lines


def with_digest(model: Model, sha256: str) -> Model:
    variants = (
        replace(one, files=tuple(ModelFile(file.path, file.size_bytes, sha256) for file in one.files))
        for one in model.variants
    )
    return replace(model, variants=tuple(variants))


def test_nothing_is_known_before_the_first_measurement(
    bench: Bench, calibration: Calibration, logged: list[EventDict]
) -> None:
    found = calibration.speeds(bench)

    assert found == {}
    assert logged == []


def test_what_was_measured_is_found_again(bench: Bench, calibration: Calibration) -> None:
    calibration.remember(bench, {"gguf-cpu": SPEEDS, "onnx-cpu-int4": FASTER})

    found = calibration.speeds(bench)

    assert found == {"gguf-cpu": SPEEDS, "onnx-cpu-int4": FASTER}


def test_a_new_measurement_replaces_the_old_one_and_leaves_the_other_variants(
    bench: Bench, calibration: Calibration
) -> None:
    calibration.remember(bench, {"gguf-cpu": SPEEDS, "onnx-cpu-int4": SPEEDS})

    calibration.remember(bench, {"gguf-cpu": FASTER})

    assert calibration.speeds(bench) == {"gguf-cpu": FASTER, "onnx-cpu-int4": SPEEDS}


def other_hardware(bench: Bench) -> Bench:
    return replace(bench, facts=replace(bench.facts, cpu=replace(bench.facts.cpu, model="Intel N305")))


def other_model(bench: Bench) -> Bench:
    return replace(bench, model=with_digest(bench.model, "a" * 64))


def other_size(bench: Bench) -> Bench:
    variants = (
        replace(one, files=(replace(one.files[0], size_bytes=one.files[0].size_bytes + 1),))
        for one in bench.model.variants
    )
    return replace(bench, model=replace(bench.model, variants=tuple(variants)))


def other_threads(bench: Bench) -> Bench:
    return replace(bench, threads=bench.threads - 1)


def other_library(bench: Bench) -> Bench:
    versions = tuple((name, f"{version}.1") for name, version in bench.facts.packages.versions)
    return replace(
        bench, facts=replace(bench.facts, packages=replace(bench.facts.packages, versions=versions))
    )


OTHERS = [other_hardware, other_model, other_size, other_threads, other_library]


@pytest.mark.parametrize("other", OTHERS, ids=[other.__name__ for other in OTHERS])
def test_what_was_measured_elsewhere_is_ignored_but_kept(
    bench: Bench, calibration: Calibration, other: Callable[[Bench], Bench]
) -> None:
    calibration.remember(bench, {"gguf-cpu": SPEEDS, "onnx-cpu-int4": SPEEDS})

    found_elsewhere = calibration.speeds(other(bench))
    calibration.remember(other(bench), {"gguf-cpu": FASTER, "onnx-cpu-int4": FASTER})

    assert found_elsewhere == {}
    assert calibration.speeds(bench)["gguf-cpu"] == SPEEDS
    assert calibration.speeds(other(bench))["gguf-cpu"] == FASTER


def test_a_model_is_known_by_its_digest_whatever_its_name_is(bench: Bench, calibration: Calibration) -> None:
    digested = replace(bench, model=with_digest(bench.model, "b" * 64))
    calibration.remember(digested, {"gguf-cpu": SPEEDS})

    found = calibration.speeds(replace(digested, model=replace(digested.model, name="renamed")))

    assert found == {"gguf-cpu": SPEEDS}


GOOD: dict[str, Any] = {
    "key": {"fingerprint": "f", "model": "m", "variant": "gguf-cpu", "threads": 4, "library": "l"},
    "measured_at": "2026-01-01T00:00:00Z",
    "prefill_tokens_per_s": 400.0,
    "step_ms": [[1, 20.0]],
}
DAMAGED = {
    "empty": "",
    "cut off": '{"version": 1, "records": [{"key"',
    "no JSON": "\x00\xff",
    "a list": "[]",
    "an older version": json.dumps({"version": 0, "records": []}),
    "a newer version": json.dumps({"version": 2, "records": [GOOD]}),
    "an unknown field": json.dumps({"version": 1, "records": [GOOD | {"mood": "good"}]}),
    "no steps": json.dumps({"version": 1, "records": [GOOD | {"step_ms": []}]}),
    "a step of no time": json.dumps({"version": 1, "records": [GOOD | {"step_ms": [[1, 0.0]]}]}),
    "steps of nobody": json.dumps({"version": 1, "records": [GOOD | {"step_ms": [[0, 1.0]]}]}),
    "an endless speed": json.dumps({"version": 1, "records": [GOOD | {"prefill_tokens_per_s": math.inf}]}),
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_reported_in_one_line_and_counts_as_none(
    bench: Bench, calibration: Calibration, tmp_path: Path, logged: list[EventDict], text: str
) -> None:
    (tmp_path / FILE_NAME).write_text(text, encoding="latin-1")

    found = calibration.speeds(bench)

    assert found == {}
    (line,) = logged
    assert (line["event"], line["log_level"]) == ("calibration_ignored", "warning")
    assert line["hint"] == "promptd calibrate"
    assert "\n" not in line["reason"]


def test_a_damaged_file_is_replaced_by_the_next_measurement(
    bench: Bench, calibration: Calibration, tmp_path: Path
) -> None:
    (tmp_path / FILE_NAME).write_text("{", encoding="utf-8")

    calibration.remember(bench, {"gguf-cpu": SPEEDS})

    assert calibration.speeds(bench) == {"gguf-cpu": SPEEDS}


def test_a_good_record_is_the_one_that_the_damaged_ones_are_made_of(
    bench: Bench, calibration: Calibration, tmp_path: Path, logged: list[EventDict]
) -> None:
    (tmp_path / FILE_NAME).write_text(json.dumps({"version": 1, "records": [GOOD]}), encoding="utf-8")

    calibration.speeds(bench)

    assert logged == []


def test_a_speed_that_cannot_be_is_not_remembered(bench: Bench, calibration: Calibration) -> None:
    impossible = Speeds(float("nan"), ((1, 20.0),))

    with pytest.raises(ValueError, match="prefill_tokens_per_s"):
        calibration.remember(bench, {"gguf-cpu": impossible})

    assert calibration.speeds(bench) == {}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    bench: Bench, calibration: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibration.remember(bench, {"gguf-cpu": SPEEDS})

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        calibration.remember(bench, {"gguf-cpu": FASTER})

    assert calibration.speeds(bench) == {"gguf-cpu": SPEEDS}
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
