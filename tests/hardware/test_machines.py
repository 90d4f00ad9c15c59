"""Which variants of a 3.8 B model fit which machine: `machines.toml` has an entry for every kind of box."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.hardware.choice import choose
from agent.hardware.facts import Adapter, Cpu, Facts, Gpu, Memory, Packages, Unknown
from agent.hardware.packages import look_at_packages
from agent.models.manifest import Model
from agent.settings import EngineSettings

GB = 10**9
MACHINES = tomllib.loads(Path(__file__).with_name("machines.toml").read_text(encoding="utf-8"))["machine"]
KITS = {
    "llama": ["llama-cpp-python"],
    "cpu": ["llama-cpp-python", "onnxruntime", "onnxruntime-genai"],
    "cuda": ["llama-cpp-python", "onnxruntime-gpu", "onnxruntime-genai-cuda"],
    "directml": ["llama-cpp-python", "onnxruntime-directml", "onnxruntime-genai-directml"],
}
MODULES = {"llama_cpp": "llama-cpp", "onnxruntime": "onnxruntime", "onnxruntime_genai": "genai"}


def facts_of(machine: dict[str, Any]) -> Facts:
    total_bytes, free_bytes = (int(size * GB) for size in machine["memory_gb"])
    host_bytes = int(machine.get("host_memory_gb", 0) * GB) or total_bytes
    architecture = machine.get("architecture", "x86_64")
    instruction_sets = tuple(machine.get("instruction_sets", ("avx", "avx2")))
    gpus = tuple(gpu_of(entry) for entry in machine.get("gpus", ()))
    adapters = tuple(
        Adapter(each["name"], int(each["dedicated_gb"] * GB)) for each in machine.get("adapters", ())
    )
    return Facts(
        platform=machine.get("platform", "linux"),
        system=machine["name"],
        cpu=Cpu(machine["name"], architecture, instruction_sets, 4, 4, ""),
        memory=Memory(host_bytes, total_bytes, free_bytes, "somewhere"),
        gpus=gpus or Unknown(machine.get("no_gpu", "no NVIDIA driver")),
        adapters=adapters or Unknown("DirectX needs Windows"),
        disk_free_bytes=10 * GB,
        packages=packages_of(machine),
    )


def gpu_of(entry: dict[str, Any]) -> Gpu:
    total_bytes, free_bytes = (int(size * GB) for size in entry["memory_gb"])
    major, minor = entry["capability"]
    return Gpu(
        name=entry["name"],
        uuid="",
        memory_total_bytes=total_bytes,
        memory_free_bytes=free_bytes,
        is_unified=entry.get("unified", False),
        compute_capability=(major, minor),
        driver="570.1",
    )


def packages_of(machine: dict[str, Any]) -> Packages:
    installed = machine.get("installed", KITS[machine.get("kit", "cpu")])
    found = look_at_packages(lambda name: "1.0" if name in installed else None, lambda _: None)
    importable = {module for module, part in MODULES.items() if any(part in name for name in installed)}
    has_llama_cuda = machine.get("llama_cuda", False)
    return Packages(found.versions, frozenset(importable), found.clashes, has_llama_cuda=has_llama_cuda)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine["name"])
def test_every_known_machine_gets_the_variants_that_fit_it(machine: dict[str, Any], phi: Model) -> None:
    facts = facts_of(machine)

    verdicts = choose(facts, phi, EngineSettings())

    assert [verdict.variant for verdict in verdicts if verdict.fits] == machine["fits"]
    reasons = {verdict.variant: verdict.reason for verdict in verdicts}
    assert {
        name: text for name, text in machine.get("refused", {}).items() if text not in reasons[name]
    } == {}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine["name"])
def test_a_fitting_variant_never_needs_more_than_there_is(machine: dict[str, Any], phi: Model) -> None:
    facts = facts_of(machine)

    verdicts = choose(facts, phi, EngineSettings())

    assert len(verdicts) == 7
    for verdict in verdicts:
        needed, available = verdict.needed_bytes, verdict.available_bytes
        assert not verdict.fits or (needed is not None and available is not None and needed <= available)
