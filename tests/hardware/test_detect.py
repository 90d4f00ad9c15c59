import json
from dataclasses import replace

from agent.detect import as_json, report
from agent.engines.options import Speeds
from agent.hardware.choice import choose
from agent.hardware.facts import Adapter, Facts, Gpu, Memory, Unknown
from agent.models.manifest import Model
from agent.settings import EngineSettings

GB = 10**9
SPEEDS = Speeds(50.0, ((1, 125.0),))


def text_for(facts: Facts, model: Model, wishes: EngineSettings | None = None) -> str:
    return report(facts, choose(facts, model, wishes or EngineSettings()), model)


def test_the_report_says_what_the_box_is(box: Facts, phi: Model) -> None:
    facts = box

    text = text_for(facts, phi)

    assert "System       Debian GNU/Linux 12 (bookworm), x86_64" in text
    assert "Intel N100, 4 of 4 cores usable; avx avx2" in text
    assert "14.0 GB available of 16.0 GB" in text
    assert "none: no NVIDIA driver: libnvidia-ml.so.1 not found" in text
    assert f"Fingerprint  {box.fingerprint}" in text


def test_the_report_ends_with_what_runs_first_and_why(box: Facts, phi: Model) -> None:
    facts = box

    text = text_for(facts, phi)

    _, _, last = text.rpartition("\n\n")
    assert last.startswith(
        "gguf-cpu runs first (llama.cpp on the CPU), because it fits: needs 12.3 GB of 12.4 GB"
    )


def test_what_nobody_has_measured_is_named_with_the_command_that_does(box: Facts, phi: Model) -> None:
    verdicts = choose(box, phi, EngineSettings(), {"gguf-cpu": SPEEDS})

    last = report(box, verdicts, phi).splitlines()[-1]

    assert last == "Not measured yet: onnx-cpu-int4; promptd calibrate does that."


def test_measured_speeds_stand_in_the_report_and_in_the_json(box: Facts, phi: Model) -> None:
    verdicts = choose(box, phi, EngineSettings(), {"gguf-cpu": SPEEDS, "onnx-cpu-int4": SPEEDS})

    text, found = report(box, verdicts, phi), json.loads(json.dumps(as_json(box, verdicts, phi)))

    assert "measured 8.0 tokens/s" in text
    assert "Not measured yet" not in text
    assert found["is_calibrated"] is True
    assert found["verdicts"][0]["speeds"] == {"prefill_tokens_per_s": 50.0, "step_ms": [[1, 125.0]]}


def test_the_prefix_cache_has_a_column(box: Facts, demo: Model) -> None:
    facts = box

    lines = text_for(facts, demo).splitlines()

    (head,) = [line for line in lines if line.startswith("  #")]
    (row,) = [line for line in lines if line.startswith("  1")]
    assert row[: head.index("verdict")].split() == ["1", "gguf-cpu", "155", "MB", "1024", "8", "8192"]


def test_every_variant_has_its_verdict_and_no_line_is_wider_than_100_columns(box: Facts, phi: Model) -> None:
    packages = replace(box.packages, clashes=(("onnxruntime-genai", "onnxruntime-genai-cuda"),))
    facts = replace(box, packages=packages, memory=Unknown("cannot read /proc/meminfo: " + "x " * 60))

    lines = text_for(facts, phi).splitlines()

    assert max(len(line) for line in lines) <= 100
    assert sum(line.startswith(("  1", "  -")) for line in lines) == 7
    assert any("CLASH" in line for line in lines)


def test_a_limited_container_names_its_limit(box: Facts, phi: Model) -> None:
    limit = "/sys/fs/cgroup/memory.max"
    facts = replace(box, memory=Memory(64 * GB, 2 * GB, GB, limit))

    text = text_for(facts, phi)

    assert f"limited by {limit}" in text
    assert "Nothing can run" in text


def test_devices_are_listed_with_their_memory(box: Facts, phi: Model) -> None:
    gpu = Gpu("L4", "GPU-1", 24 * GB, 20 * GB, is_unified=False, compute_capability=(8, 9), driver="570.1")
    adapter = Adapter("AMD Radeon", Unknown("its driver hides it"))
    facts = replace(box, platform="win32", gpus=(gpu,), adapters=(adapter,))

    text = text_for(facts, phi)

    assert "L4, 20.0 GB free of 24.0 GB (its own), compute capability 8.9, driver 570.1" in text
    assert "AMD Radeon, dedicated memory: unknown (its driver hides it)" in text


def test_the_json_can_be_written_and_marks_what_is_unknown(box: Facts, phi: Model) -> None:
    verdicts = choose(box, phi, EngineSettings())

    found = json.loads(json.dumps(as_json(box, verdicts, phi)))

    assert found["first"] == "gguf-cpu"
    assert found["facts"]["gpus"] == {"unknown": "no NVIDIA driver: libnvidia-ml.so.1 not found"}
    assert found["facts"]["fingerprint"] == box.fingerprint
    assert [verdict["variant"] for verdict in found["verdicts"]][:2] == ["gguf-cpu", "onnx-cpu-int4"]
