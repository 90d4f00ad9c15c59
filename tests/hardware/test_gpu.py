from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.hardware.facts import Gpu, Memory, Unknown
from agent.hardware.gpu import look_at_gpus

Tree = Callable[[dict[str, str]], Path]
MEMORY = Memory(8000, 8000, 6000, "the machine")
ORIN = {"proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0"}


class FakeError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"return code {value}")
        self.value = value


@dataclass
class FakeNvml:
    """Answers like pynvml; a number in `errors` makes the call of that name fail with this code."""

    devices: list[tuple[str, int, int, tuple[int, int]]] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    NVMLError: type[Exception] = FakeError

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.errors:
            raise FakeError(self.errors[name])

    def nvmlInit(self) -> None:  # noqa: N802 -- NVML's names, here and below
        self._call("init")

    def nvmlShutdown(self) -> None:  # noqa: N802
        self._call("shutdown")

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        self._call("driver")
        return b"570.1"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._call("count")
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        self._call(f"handle {index}")
        return index

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        self._call("name")
        return self.devices[handle][0]

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        self._call("uuid")
        return f"GPU-{handle}"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: ANN401, N802
        self._call("memory")
        return SimpleNamespace(total=self.devices[handle][1], free=self.devices[handle][2])

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> tuple[int, int]:  # noqa: N802
        self._call("capability")
        return self.devices[handle][3]


def two_gpus(**errors: int) -> FakeNvml:
    return FakeNvml([("L4", 24, 20, (8, 9)), ("T4", 16, 2, (7, 5))], errors)


def test_every_gpu_is_described_and_nvml_is_closed_again(tree: Tree) -> None:
    nvml = two_gpus()

    gpus = look_at_gpus(tree({}), nvml, MEMORY)

    assert isinstance(gpus, tuple)
    assert gpus[0] == Gpu("L4", "GPU-0", 24, 20, is_unified=False, compute_capability=(8, 9), driver="570.1")
    assert [gpu.name for gpu in gpus] == ["L4", "T4"]
    assert nvml.calls[-1] == "shutdown"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (12, "no NVIDIA driver: libnvidia-ml.so.1 not found"),
        (9, "the NVIDIA driver is installed but not loaded"),
        (18, "the NVIDIA driver and its library differ in version: reboot"),
        (4, "no permission to ask the NVIDIA driver"),
        (999, "NVML: return code 999"),
    ],
)
def test_a_driver_that_does_not_answer_is_a_fact_with_its_reason(tree: Tree, code: int, reason: str) -> None:
    nvml = two_gpus(init=code)

    gpus = look_at_gpus(tree({}), nvml, MEMORY)

    assert gpus == Unknown(reason)


def test_a_driver_without_a_device_says_so(tree: Tree) -> None:
    nvml = FakeNvml([])

    gpus = look_at_gpus(tree({}), nvml, MEMORY)

    assert gpus == Unknown("NVIDIA driver 570.1 is present but no device")


def test_a_lost_gpu_does_not_hide_the_other_one(tree: Tree) -> None:
    nvml = FakeNvml(two_gpus().devices, {"handle 0": 15})

    gpus = look_at_gpus(tree({}), nvml, MEMORY)

    assert isinstance(gpus, tuple)
    assert [gpu.name for gpu in gpus] == ["T4"]


def test_one_call_that_fails_makes_one_fact_unknown(tree: Tree) -> None:
    nvml = two_gpus(memory=999, capability=13)

    gpus = look_at_gpus(tree({}), nvml, MEMORY)

    assert isinstance(gpus, tuple)
    assert gpus[0].memory_free_bytes == Unknown("NVML: return code 999")
    assert gpus[0].compute_capability == Unknown("NVML: return code 13")


def test_a_gpu_without_memory_of_its_own_shares_that_of_the_machine(tree: Tree) -> None:
    nvml = FakeNvml([("NVIDIA GB10", 0, 0, (12, 1))], {"memory": 3})

    gpus = look_at_gpus(tree({}), nvml, MEMORY)

    assert isinstance(gpus, tuple)
    assert (gpus[0].is_unified, gpus[0].memory_total_bytes, gpus[0].memory_free_bytes) == (True, 8000, 6000)


def test_a_jetson_without_nvml_is_known_by_its_device_tree(tree: Tree) -> None:
    nvml = two_gpus(init=12)

    gpus = look_at_gpus(tree(ORIN), nvml, MEMORY)

    assert isinstance(gpus, tuple)
    assert gpus[0].name == "NVIDIA Jetson Orin Nano Developer Kit"
    assert (gpus[0].compute_capability, gpus[0].memory_free_bytes) == ((8, 7), 6000)


def test_a_jetson_in_a_container_is_known_by_its_release_file(tree: Tree) -> None:
    root = tree({"etc/nv_tegra_release": "# R36 (release), REVISION: 4.0\n"})

    gpus = look_at_gpus(root, two_gpus(init=12), Unknown("no /proc"))

    assert isinstance(gpus, tuple)
    assert (gpus[0].name, gpus[0].memory_free_bytes) == ("NVIDIA Jetson", Unknown("no /proc"))
