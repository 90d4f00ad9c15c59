"""How much memory this process may use: the machine's, narrowed by control groups."""

from pathlib import Path

from agent.hardware.cgroup import memory_limit
from agent.hardware.facts import Memory, Unknown

MACHINE = "the machine"


def look_at_memory(root: Path, platform: str) -> Memory | Unknown:
    """Return total and available memory in bytes, or why they are unknown."""
    machine = _from_proc(root) if platform == "linux" else _from_psutil()
    if isinstance(machine, Unknown):
        return machine
    limit = memory_limit(root)
    if limit is None or limit.total_bytes >= machine.total_bytes:
        return machine
    return Memory(
        machine_bytes=machine.machine_bytes,
        total_bytes=limit.total_bytes,
        available_bytes=min(machine.available_bytes, limit.left_bytes),
        limit=limit.source,
    )


def _from_proc(root: Path) -> Memory | Unknown:
    file = root / "proc/meminfo"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        return Unknown(f"cannot read {file}: {error.strerror}")
    sizes = {key: int(value.split()[0]) * 1024 for key, _, value in (line.partition(":") for line in lines)}
    if "MemTotal" not in sizes:
        return Unknown(f"{file} names no MemTotal")
    # Kernels before 3.14 have no MemAvailable.
    free_bytes = sizes.get("MemAvailable", sizes.get("MemFree", 0) + sizes.get("Cached", 0))
    return Memory(sizes["MemTotal"], sizes["MemTotal"], free_bytes, MACHINE)


def _from_psutil() -> Memory:
    import psutil  # noqa: PLC0415 -- Linux does not need it, and every start would pay for it

    seen = psutil.virtual_memory()
    return Memory(seen.total, seen.total, seen.available, MACHINE)
