import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agent.hardware.facts import Facts, Gpu, Memory, Packages, Unknown
from agent.hardware.gpu import Nvml
from agent.hardware.probe import Surroundings, probe

Tree = Callable[[dict[str, str]], Path]


def broken() -> Nvml:
    raise ModuleNotFoundError("No module named 'pynvml'")


def no_packages() -> Packages:
    raise ValueError("llama_cpp.__spec__ is None")


def test_a_box_where_every_look_fails_is_still_described(tree: Tree) -> None:
    surroundings = Surroundings(
        root=tree({}), platform="linux", architecture="armv7l", nvml=broken, packages=no_packages
    )

    facts = probe(Path("/nowhere/models"), surroundings)

    assert facts.gpus == Unknown("ModuleNotFoundError: No module named 'pynvml'")
    assert facts.packages.has_llama_cuda == Unknown("ValueError: llama_cpp.__spec__ is None")
    assert isinstance(facts.memory, Unknown)
    assert isinstance(facts.cpu.model, Unknown)
    assert facts.cpu.architecture == "armv7l"
    assert isinstance(facts.disk_free_bytes, int)


def test_the_system_is_named_by_its_release_file(tree: Tree) -> None:
    release = 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'
    surroundings = Surroundings(root=tree({"etc/os-release": release}), platform="linux", nvml=broken)

    facts = probe(Path("/"), surroundings)

    assert facts.system == "Debian GNU/Linux 12 (bookworm)"


def test_this_machine_can_be_described(tmp_path: Path) -> None:
    state_dir = tmp_path / "not yet"

    facts = probe(state_dir)

    assert isinstance(facts.memory, Memory)
    assert 0 < facts.memory.available_bytes <= facts.memory.total_bytes
    assert 1 <= facts.cpu.usable_physical_cores <= facts.cpu.physical_cores
    assert not state_dir.exists()


def test_probing_imports_no_native_engine_and_no_numpy() -> None:
    code = (
        "import sys; from pathlib import Path; from agent.hardware.probe import probe; probe(Path('.'));"
        "print({'numpy', 'llama_cpp', 'onnxruntime', 'onnxruntime_genai'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_the_fingerprint_survives_what_changes_from_minute_to_minute(box: Facts) -> None:
    assert isinstance(box.memory, Memory)
    later = replace(
        box,
        memory=replace(box.memory, available_bytes=1, machine_bytes=box.memory.machine_bytes + 4096),
        disk_free_bytes=1,
        system="Debian GNU/Linux 13 (trixie)",
    )

    fingerprints = {box.fingerprint, later.fingerprint}

    assert len(fingerprints) == 1
    assert len(box.fingerprint) == 16


def test_the_fingerprint_changes_with_processor_memory_and_gpu(box: Facts) -> None:
    gpu = Gpu("L4", "GPU-1", 24 * 10**9, 10**9, is_unified=False, compute_capability=(8, 9), driver="570")
    others = [
        replace(box, cpu=replace(box.cpu, model="Intel N200")),
        replace(box, cpu=replace(box.cpu, usable_physical_cores=2)),
        replace(box, memory=Memory(32 * 10**9, 32 * 10**9, 10**9, "the machine")),
        replace(box, gpus=(gpu,)),
    ]

    fingerprints = {box.fingerprint, *(other.fingerprint for other in others)}

    assert len(fingerprints) == 5
