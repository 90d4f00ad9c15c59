"""`promptd calibrate` on the embedded model: real workers are measured, and the figures decide."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent import calibrate as calibration
from agent.calibrate import Outcome, Tell, calibrate
from agent.calibration_report import as_json, report
from agent.engines.options import Speeds
from agent.engines.table import BY_NAME
from agent.outfit import outfit
from agent.settings import EngineSettings, Settings
from agent.wire.errors import AgentError, ConfigError

SHARES: dict[str, list[float]] = {}
"""What the last measurement of a variant told."""
REACHED: dict[str, float] = {}
"""What the calibration that most tests look at told last."""


@contextmanager
def watch(variant: str) -> Iterator[Tell]:
    SHARES[variant] = []
    yield SHARES[variant].append


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Return what a calibration of the embedded model found; its state folder has a plain name."""
    settings = Settings(state_dir=tmp_path_factory.getbasetemp() / "calibrated")
    SHARES.clear()
    outcome = calibrate(settings, watch)
    REACHED.update({variant: shares[-1] for variant, shares in SHARES.items()})
    return outcome


@pytest.fixture
def calibrated(outcome: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    assert outcome.findings
    return Settings(state_dir=tmp_path_factory.getbasetemp() / "calibrated")


def test_every_variant_that_fits_is_measured_at_up_to_eight_sequences(outcome: Outcome) -> None:
    measured = {one.variant: one.speeds for one in outcome.findings}

    assert set(measured) == {one.options.variant for one in outcome.before.candidates}
    assert all(speeds and [n for n, _ in speeds.step_ms] == [1, 2, 4, 8] for speeds in measured.values())
    assert set(REACHED.values()) == {1.0}


def test_the_agent_starts_with_what_was_measured(outcome: Outcome, calibrated: Settings) -> None:
    found = outfit(calibrated)

    assert found.speeds == {one.variant: one.speeds for one in outcome.findings}
    first = found.candidates[0].options
    rates = {
        one.options.variant: one.options.speeds.decode_tokens_per_s(one.options.slots)
        for one in found.candidates
        if one.options.speeds
    }
    assert first.variant == max(rates, key=lambda variant: rates[variant])


def test_other_threads_have_to_be_measured_anew(calibrated: Settings) -> None:
    threads = outfit(calibrated).candidates[0].options.threads
    engine = calibrated.engine.model_copy(update={"threads": threads + 1})

    found = outfit(calibrated.model_copy(update={"engine": engine}))

    assert found.speeds == {}


def test_the_report_has_a_row_for_each_variant_and_no_line_wider_than_100_columns(outcome: Outcome) -> None:
    lines = report(outcome).splitlines()

    rows = [line for line in lines if line.startswith(("gguf-cpu  ", "onnx-cpu-int4  "))]
    assert [len(row.split()) for row in rows] == [6] * len(outcome.findings)
    assert max(len(line) for line in lines) <= 100
    assert any("runs first" in line for line in lines)


def test_the_json_can_be_written_and_tells_before_and_after(outcome: Outcome) -> None:
    found = json.loads(json.dumps(as_json(outcome)))

    assert [one["variant"] for one in found["measured"]] == [one.variant for one in outcome.findings]
    assert found["before"].keys() == found["after"].keys()
    assert found["after"]["slots"] >= 1


def with_speeds(outcome: Outcome, variant: str, speeds: Speeds) -> Outcome:
    verdicts = [
        replace(verdict, speeds=speeds, slots=2) if verdict.variant == variant else verdict
        for verdict in outcome.before.verdicts
    ]
    verdicts.sort(key=lambda verdict: verdict.variant != variant)
    return replace(outcome, after=replace(outcome.after, verdicts=tuple(verdicts)))


def test_a_new_first_variant_and_fewer_slots_are_named(outcome: Outcome) -> None:
    changed = with_speeds(outcome, "onnx-cpu-int4", Speeds(50.0, ((1, 100.0), (2, 100.0))))

    text = report(changed)

    assert "onnx-cpu-int4 runs first now, before it was gguf-cpu." in text
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "onnx-cpu-int4: 2 slots instead of 8, 32 prompt tokens in a step instead of 128." in text


def test_a_variant_that_cannot_be_started_is_told_and_the_others_are_measured(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(BY_NAME["gguf-cpu"], module="agent.engines.nowhere")
    monkeypatch.setattr("agent.worker.start.BY_NAME", {**BY_NAME, "gguf-cpu": broken})

    outcome = calibrate(settings, watch)

    findings = {one.variant: one for one in outcome.findings}
    assert findings["gguf-cpu"].speeds is None
    assert "agent.engines.nowhere" in findings["gguf-cpu"].notes[0]
    assert outcome.after.speeds.keys() == findings.keys() - {"gguf-cpu"}
    assert "not measured" in report(outcome)


def test_one_variant_can_be_named(settings: Settings) -> None:
    outcome = calibrate(settings, watch, "gguf-cpu")

    assert [one.variant for one in outcome.findings] == ["gguf-cpu"]


@pytest.mark.parametrize(
    ("variant", "words"),
    [("onnx-dml-int4", "DirectML needs Windows"), ("gguf-gpu", "there is no such variant; there are")],
)
def test_a_variant_that_cannot_run_here_is_refused_with_the_reason(
    settings: Settings, variant: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        calibrate(settings, watch, variant)


def test_a_box_on_which_nothing_fits_is_told_where_to_look(settings: Settings) -> None:
    too_long = settings.model_copy(update={"engine": EngineSettings(context_length=1_000_000)})

    with pytest.raises(AgentError, match="promptd detect"):
        calibrate(too_long, watch)


def test_figures_that_cannot_be_written_say_who_may(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def examined(*_: object) -> calibration.Finding:
        return calibration.Finding("gguf-cpu", Speeds(1.0, ((1, 1.0),)), ())

    monkeypatch.setattr(calibration, "_examine", examined)
    settings.state_dir.write_text("a file where the folder should be")

    with pytest.raises(ConfigError, match="run this as the user of promptd"):
        calibrate(settings, watch, "gguf-cpu")


def test_the_process_of_the_command_loads_no_inference_library(run_python: Callable[[str], str]) -> None:
    program = (
        "import sys, agent.calibrate, agent.calibration_report;"
        "print([name for name in ('numpy', 'llama_cpp', 'onnxruntime') if name in sys.modules])"
    )

    printed = run_python(program)

    assert printed.strip() == "[]"


@pytest.fixture
def run_python() -> Callable[[str], str]:
    return lambda program: (
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=60
        ).stdout
    )
