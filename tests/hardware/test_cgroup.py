from collections.abc import Callable
from pathlib import Path

import pytest

from agent.hardware.cgroup import cpu_quota, memory_limit, oom_kills

Tree = Callable[[dict[str, str]], Path]
V2 = "sys/fs/cgroup"
NO_LIMIT_V1 = "9223372036854771712"


def test_a_version_2_limit_counts_what_is_used_without_the_page_cache(tree: Tree) -> None:
    unit = f"{V2}/system.slice/promptd.service"
    files = {
        "proc/self/cgroup": "0::/system.slice/promptd.service\n",
        f"{unit}/memory.max": "2000000\n",
        f"{unit}/memory.high": "max\n",
        f"{unit}/memory.current": "900000\n",
        f"{unit}/memory.stat": "anon 500000\nfile 400000\ninactive_file 300000\n",
    }

    limit = memory_limit(tree(files))

    assert limit is not None
    assert (limit.total_bytes, limit.left_bytes) == (2_000_000, 1_400_000)
    assert limit.source == "/sys/fs/cgroup/system.slice/promptd.service/memory.max"


def test_a_group_above_ours_limits_us_too(tree: Tree) -> None:
    files = {
        "proc/self/cgroup": "0::/machine.slice/box/inner\n",
        f"{V2}/machine.slice/box/inner/memory.max": "max\n",
        f"{V2}/machine.slice/box/memory.max": "5000000\n",
        f"{V2}/machine.slice/memory.max": "3000000\n",
        f"{V2}/machine.slice/memory.current": "1000000\n",
    }

    limit = memory_limit(tree(files))

    assert limit is not None
    assert (limit.total_bytes, limit.left_bytes) == (3_000_000, 2_000_000)
    assert limit.source == "/sys/fs/cgroup/machine.slice/memory.max"


def test_the_soft_limit_counts_when_it_is_the_lower_one(tree: Tree) -> None:
    files = {
        "proc/self/cgroup": "0::/a\n",
        f"{V2}/a/memory.max": "4000000\n",
        f"{V2}/a/memory.high": "3000000\n",
    }

    limit = memory_limit(tree(files))

    assert limit is not None
    assert (limit.total_bytes, limit.source) == (3_000_000, "/sys/fs/cgroup/a/memory.high")


def test_a_group_that_is_full_leaves_nothing_and_not_less(tree: Tree) -> None:
    files = {"proc/self/cgroup": "0::/a\n", f"{V2}/a/memory.max": "100\n", f"{V2}/a/memory.current": "150\n"}

    limit = memory_limit(tree(files))

    assert limit is not None
    assert limit.left_bytes == 0


def test_a_version_1_limit_is_found(tree: Tree) -> None:
    folder = f"{V2}/memory/docker/abc"
    files = {
        "proc/self/cgroup": "4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n",
        f"{V2}/memory/memory.limit_in_bytes": NO_LIMIT_V1,
        f"{folder}/memory.limit_in_bytes": "512000\n",
        f"{folder}/memory.usage_in_bytes": "200000\n",
        f"{folder}/memory.stat": "cache 9\ntotal_inactive_file 50000\n",
    }

    limit = memory_limit(tree(files))

    assert limit is not None
    assert (limit.total_bytes, limit.left_bytes) == (512_000, 362_000)


def test_in_a_container_the_path_of_the_host_is_missing_and_the_mount_counts(tree: Tree) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/docker/abc\n0::/../../other\n",
        f"{V2}/memory/memory.limit_in_bytes": "512000\n",
    }

    limit = memory_limit(tree(files))

    assert limit is not None
    assert limit.total_bytes == 512_000


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/\n"},
        {"proc/self/cgroup": "0::/a\n", f"{V2}/a/memory.max": "max\n"},
        {"proc/self/cgroup": "4:memory:/\n", f"{V2}/memory/memory.limit_in_bytes": NO_LIMIT_V1},
    ],
    ids=["no files", "the root group", "max", "version 1 without a limit"],
)
def test_no_limit_is_no_limit(tree: Tree, files: dict[str, str]) -> None:
    root = tree(files)

    limit = memory_limit(root)

    assert limit is None


def test_the_narrowest_processor_quota_of_all_groups_counts(tree: Tree) -> None:
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        f"{V2}/a/b/cpu.max": "max 100000\n",
        f"{V2}/a/cpu.max": "150000 100000\n",
    }

    quota = cpu_quota(tree(files))

    assert quota == 1.5


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_a_version_1_quota_is_found_under_either_name_of_its_mount(tree: Tree, mount: str) -> None:
    files = {
        "proc/self/cgroup": "1:cpu,cpuacct:/docker/abc\n",
        f"{V2}/{mount}/docker/abc/cpu.cfs_quota_us": "250000\n",
        f"{V2}/{mount}/docker/abc/cpu.cfs_period_us": "100000\n",
        f"{V2}/{mount}/cpu.cfs_quota_us": "-1\n",
        f"{V2}/{mount}/cpu.cfs_period_us": "100000\n",
    }

    quota = cpu_quota(tree(files))

    assert quota == 2.5


def test_without_a_quota_there_is_none(tree: Tree) -> None:
    root = tree({"proc/self/cgroup": "0::/\n"})

    quota = cpu_quota(root)

    assert quota is None


def test_kills_for_want_of_memory_are_counted_in_our_group(tree: Tree) -> None:
    files = {
        "proc/self/cgroup": "0::/system.slice/promptd.service\n",
        f"{V2}/system.slice/promptd.service/memory.events": "low 0\nhigh 7\nmax 9\noom 4\noom_kill 3\n",
        f"{V2}/system.slice/memory.events": "oom_kill 8\n",
    }

    kills = oom_kills(tree(files))

    assert kills == 3


def test_version_1_counts_kills_beside_its_switch(tree: Tree) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/docker/abc\n0::/\n",
        f"{V2}/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    }

    kills = oom_kills(tree(files))

    assert kills == 2


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/\n"},
        {"proc/self/cgroup": "4:memory:/\n", f"{V2}/memory/memory.oom_control": "oom_kill_disable 0\n"},
    ],
    ids=["no files", "the root group", "an old kernel"],
)
def test_where_nobody_counts_kills_their_number_is_unknown(tree: Tree, files: dict[str, str]) -> None:
    root = tree(files)

    kills = oom_kills(root)

    assert kills is None
