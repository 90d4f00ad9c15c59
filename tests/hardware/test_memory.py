from collections.abc import Callable
from pathlib import Path

from agent.hardware.facts import Memory, Unknown
from agent.hardware.memory import look_at_memory

Tree = Callable[[dict[str, str]], Path]
MEMINFO = "MemTotal:        2000 kB\nMemFree:          100 kB\nMemAvailable:    1500 kB\nHugePages_Total: 0\n"


def test_without_a_control_group_the_machine_is_the_limit(tree: Tree) -> None:
    root = tree({"proc/meminfo": MEMINFO})

    memory = look_at_memory(root, "linux")

    assert memory == Memory(2_048_000, 2_048_000, 1_536_000, "the machine")


def test_a_control_group_narrows_total_and_available_memory(tree: Tree) -> None:
    group = {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "1024000\n"}
    root = tree({"proc/meminfo": MEMINFO, **group, "sys/fs/cgroup/a/memory.current": "24000\n"})

    memory = look_at_memory(root, "linux")

    assert memory == Memory(2_048_000, 1_024_000, 1_000_000, "/sys/fs/cgroup/a/memory.max")


def test_a_group_may_promise_more_than_the_machine_has_left(tree: Tree) -> None:
    group = {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "2000000\n"}
    root = tree({"proc/meminfo": MEMINFO, **group})

    memory = look_at_memory(root, "linux")

    assert isinstance(memory, Memory)
    assert (memory.total_bytes, memory.available_bytes) == (2_000_000, 1_536_000)


def test_a_limit_above_the_machine_is_no_limit(tree: Tree) -> None:
    group = {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "9000000\n"}
    root = tree({"proc/meminfo": MEMINFO, **group})

    memory = look_at_memory(root, "linux")

    assert isinstance(memory, Memory)
    assert memory.limit == "the machine"


def test_a_kernel_without_an_estimate_counts_free_and_cached_memory(tree: Tree) -> None:
    root = tree({"proc/meminfo": "MemTotal: 2000 kB\nMemFree: 100 kB\nCached: 300 kB\n"})

    memory = look_at_memory(root, "linux")

    assert isinstance(memory, Memory)
    assert memory.available_bytes == 409_600


def test_without_meminfo_memory_is_unknown_and_the_reason_names_the_file(tree: Tree) -> None:
    root = tree({})

    memory = look_at_memory(root, "linux")

    assert isinstance(memory, Unknown)
    assert memory.reason.endswith("proc/meminfo: No such file or directory")


def test_elsewhere_psutil_tells(tree: Tree) -> None:
    root = tree({})

    memory = look_at_memory(root, "darwin")

    assert isinstance(memory, Memory)
    assert 0 < memory.available_bytes <= memory.total_bytes
