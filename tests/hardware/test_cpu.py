from collections.abc import Callable
from pathlib import Path

import pytest

from agent.hardware.cpu import look_at_cpu
from agent.hardware.facts import Unknown

Tree = Callable[[dict[str, str]], Path]

X86 = "".join(
    f"processor\t: {number}\nmodel name\t: Intel(R) N100\nphysical id\t: 0\ncore id\t\t: {number // 2}\n"
    "flags\t\t: fpu sse2 sse4_2 avx avx2 fma f16c avx_vnni\n\n"
    for number in range(4)
)
PI = "".join(
    f"processor\t: {number}\nFeatures\t: fp asimd evtstrm crc32 asimddp cpuid\n"
    "CPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\n"
    for number in range(4)
)
PI_TAIL = "Revision\t: c04170\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n"


def test_an_x86_processor_is_read_from_cpuinfo(tree: Tree) -> None:
    root = tree({"proc/cpuinfo": X86})

    cpu = look_at_cpu(root, "linux", "x86_64", None)

    assert (cpu.model, cpu.architecture) == ("Intel(R) N100", "x86_64")
    assert cpu.instruction_sets == ("avx", "avx2", "avx_vnni", "f16c", "fma", "sse4_2")
    assert (cpu.physical_cores, cpu.usable_physical_cores, cpu.limit) == (2, 2, "")


def test_a_raspberry_pi_has_its_board_and_its_core_as_a_model(tree: Tree) -> None:
    root = tree({"proc/cpuinfo": PI + PI_TAIL})

    cpu = look_at_cpu(root, "linux", "aarch64", None)

    assert cpu.model == "Raspberry Pi 5 Model B Rev 1.0, Cortex-A76"
    assert cpu.instruction_sets == ("asimd", "asimddp")
    assert cpu.physical_cores == 4


def test_an_arm_board_without_a_model_line_is_named_by_its_device_tree(tree: Tree) -> None:
    cpuinfo = PI.replace("0xd0b", "0xd42")
    root = tree({"proc/cpuinfo": cpuinfo, "proc/device-tree/model": "NVIDIA Jetson AGX Orin\0"})

    cpu = look_at_cpu(root, "linux", "aarch64", None)

    assert cpu.model == "NVIDIA Jetson AGX Orin, Cortex-A78AE"


def test_a_jetson_is_named_by_its_board_though_its_kernel_calls_every_core_the_same(tree: Tree) -> None:
    cpuinfo = PI.replace("Features", "model name\t: ARMv8 Processor rev 1 (v8l)\nFeatures").replace(
        "0xd0b", "0xd42"
    )
    root = tree({"proc/cpuinfo": cpuinfo, "proc/device-tree/model": "NVIDIA Jetson AGX Orin\0"})

    cpu = look_at_cpu(root, "linux", "aarch64", None)

    assert cpu.model == "NVIDIA Jetson AGX Orin, Cortex-A78AE"


def test_a_part_nobody_has_listed_is_named_by_its_number(tree: Tree) -> None:
    root = tree({"proc/cpuinfo": PI.replace("0xd0b", "0xfff")})

    cpu = look_at_cpu(root, "linux", "aarch64", None)

    assert cpu.model == "ARM part 0xfff"


def test_the_kernel_knows_better_than_cpuinfo_which_processors_share_a_core(tree: Tree) -> None:
    siblings = {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}
    topology = {
        f"sys/devices/system/cpu/cpu{number}/topology/core_cpus_list": text + "\n"
        for number, text in siblings.items()
    }
    root = tree({"proc/cpuinfo": PI, **topology})

    cpu = look_at_cpu(root, "linux", "aarch64", None)

    assert cpu.physical_cores == 2


def test_affinity_leaves_only_the_cores_this_process_may_use(tree: Tree) -> None:
    root = tree({"proc/cpuinfo": X86})

    cpu = look_at_cpu(root, "linux", "x86_64", frozenset({0, 1}))

    assert (cpu.physical_cores, cpu.usable_physical_cores, cpu.limit) == (2, 1, "affinity")


@pytest.mark.parametrize(("quota_us", "usable"), [("50000", 1), ("250000", 2), ("900000", 4)])
def test_a_quota_is_rounded_down_to_whole_cores_but_leaves_one(
    tree: Tree, quota_us: str, usable: int
) -> None:
    quota = {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": f"{quota_us} 100000\n"}
    root = tree({"proc/cpuinfo": PI, **quota})

    cpu = look_at_cpu(root, "linux", "aarch64", None)

    assert cpu.usable_physical_cores == usable
    assert ("quota" in cpu.limit) == (usable < 4)


def test_without_cpuinfo_the_model_is_unknown_and_one_core_is_assumed(tree: Tree) -> None:
    root = tree({})

    cpu = look_at_cpu(root, "linux", "riscv64", frozenset({0}))

    assert cpu.model == Unknown("cannot read /proc/cpuinfo")
    assert (cpu.physical_cores, cpu.usable_physical_cores, cpu.instruction_sets) == (1, 1, ())
