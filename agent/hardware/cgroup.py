"""Linux control groups, version 1 and 2: limits of memory and processor time, kills for lack of memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent.hardware.files import text_of

MOUNT = "sys/fs/cgroup"
UNLIMITED_BYTES = 1 << 60
"""Version 1 writes 'no limit' as the largest multiple of a page; nothing that large is a limit."""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """The narrowest limits along the path from this process's group to the root."""

    total_bytes: int
    left_bytes: int
    """What may still be taken before a group on the path is full; page cache does not count as taken."""
    source: str
    """The file that holds the narrowest limit."""


def memory_limit(root: Path) -> MemoryLimit | None:
    """Return the memory limit of this process, or None when there is none.

    Every group above ours counts too, and of its two limits the lower one: a group above `memory.high`
    is slowed down until it is useless.
    """
    found = [_memory_v2(folder) for folder in _folders(root, "")]
    found += [_memory_v1(folder) for folder in _folders(root, "memory")]
    limits = [limit for limit in found if limit]
    if not limits:
        return None
    narrowest = min(limits, key=lambda limit: limit.total_bytes)
    left_bytes = min(limit.left_bytes for limit in limits)
    source = "/" + str(Path(narrowest.source).relative_to(root))
    return MemoryLimit(narrowest.total_bytes, max(left_bytes, 0), source)


def cpu_quota(root: Path) -> float | None:
    """Return how many cores' time this process may spend, or None when nothing limits it."""
    quotas = [_quota_v2(folder) for folder in _folders(root, "")]
    quotas += [_quota_v1(folder) for folder in _folders(root, "cpu")]
    return min((quota for quota in quotas if quota), default=None)


class OomCount:
    """What the kernel kills for want of memory from now on, in the control group of this process."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._before = oom_kills(root)

    def since(self) -> int | None:
        """Return how many processes it has killed; None where it does not tell."""
        now = oom_kills(self._root)
        return None if now is None or self._before is None else now - self._before


def oom_kills(root: Path) -> int | None:
    """Return how often the kernel killed in our group for lack of memory; None where it does not tell.

    Kills count that a limit of the group, of one above it, or of the whole machine made necessary.
    """
    files = [folder / "memory.events" for folder in _folders(root, "")]
    files += [folder / "memory.oom_control" for folder in _folders(root, "memory")]
    return next((kills for file in files if (kills := _entry(file, "oom_kill")) is not None), None)


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of our group and of all groups above it; the empty controller means version 2.

    In a container /proc names a path of the host that is not mounted inside: then only the parts that
    exist count, and the root of the mount is the container's own group.
    """
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controller not in controllers.split(","):
            continue
        inside = PurePosixPath(path.lstrip("/"))
        steps = () if ".." in inside.parts else (inside, *inside.parents)
        for mount in _mounts(root, controller, controllers):
            for step in steps or (PurePosixPath(),):
                if (mount / step).is_dir():
                    yield mount / step


def _mounts(root: Path, controller: str, controllers: str) -> tuple[Path, ...]:
    base = root / MOUNT
    if not controller:
        return (base / "unified",) if (base / "unified").is_dir() else (base,)
    # Distributions link `cpu` to `cpu,cpuacct`; a bare container may have only the long name.
    return (base / controller,) if (base / controller).is_dir() else (base / controllers,)


def _memory_v2(folder: Path) -> MemoryLimit | None:
    files = [folder / "memory.max", folder / "memory.high"]
    limits = {file: size for file in files if (size := _number(file)) is not None}
    if not limits:
        return None
    file = min(limits, key=limits.__getitem__)
    used_bytes = (_number(folder / "memory.current") or 0) - _stat(folder, "inactive_file")
    return MemoryLimit(limits[file], limits[file] - max(used_bytes, 0), str(file))


def _memory_v1(folder: Path) -> MemoryLimit | None:
    file = folder / "memory.limit_in_bytes"
    limit = _number(file)
    if limit is None or limit >= UNLIMITED_BYTES:
        return None
    used_bytes = (_number(folder / "memory.usage_in_bytes") or 0) - _stat(folder, "total_inactive_file")
    return MemoryLimit(limit, limit - max(used_bytes, 0), str(file))


def _quota_v2(folder: Path) -> float | None:
    match text_of(folder / "cpu.max").split():
        case [quota_us, period_us] if quota_us.isdigit() and int(period_us):
            return int(quota_us) / int(period_us)
    return None


def _quota_v1(folder: Path) -> float | None:
    quota_us, period_us = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota_us / period_us if quota_us and period_us else None


def _stat(folder: Path, name: str) -> int:
    return _entry(folder / "memory.stat", name) or 0


def _entry(file: Path, name: str) -> int | None:
    """Return a number from a file of names and numbers."""
    for line in text_of(file).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return None


def _number(file: Path) -> int | None:
    """Return what a file holds; a missing file, `max` and -1 mean that there is no limit."""
    text = text_of(file).strip()
    return int(text) if text.isdigit() else None
