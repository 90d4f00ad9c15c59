"""Which processor this is, what it can do, and how many of its cores this process may use."""

from pathlib import Path
from typing import Any

from agent.hardware.board import board_name
from agent.hardware.cgroup import cpu_quota
from agent.hardware.facts import Cpu, Unknown
from agent.hardware.files import text_of

INSTRUCTION_SETS = frozenset(
    {"sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"}
    | {"neon", "asimd", "asimddp", "i8mm", "sve"}
)
OTHER_NAMES = {"avx512vnni": "avx512_vnni"}
"""py-cpuinfo's spelling where it differs from Linux's."""

ARM_PARTS = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78",
    "0xd42": "Cortex-A78AE",
    "0xd49": "Neoverse-N2",
    "0xd4f": "Neoverse-V2",
}
"""Main ID register part numbers of Arm Limited, as its Technical Reference Manuals list them."""


def look_at_cpu(root: Path, platform: str, architecture: str, affinity: frozenset[int] | None) -> Cpu:
    """Return the processor; `affinity` are the logical processors this process may run on."""
    if platform != "linux":
        return _elsewhere(architecture)
    text = text_of(root / "proc/cpuinfo")
    fields = _fields(text)
    cores = _cores(root, text)
    allowed = {core for number, core in cores.items() if affinity is None or number in affinity}
    usable, limit = len(allowed) or 1, "affinity" if len(allowed) < len(set(cores.values())) else ""
    quota = cpu_quota(root)
    if quota is not None and int(quota) < usable:
        # More threads than whole cores only wait for each other when the quota is spent.
        usable, limit = max(int(quota), 1), f"a control group's quota of {quota:g} cores"
    return Cpu(
        model=_model(root, fields) if text else Unknown("cannot read /proc/cpuinfo"),
        architecture=architecture,
        instruction_sets=_known(fields.get("flags", fields.get("Features", "")).split()),
        physical_cores=len(set(cores.values())) or 1,
        usable_physical_cores=usable,
        limit=limit,
    )


def _fields(text: str) -> dict[str, str]:
    """Return the first value of every key; cores that differ (big.LITTLE) are told apart by nobody."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), value.strip())
    return found


def _model(root: Path, fields: dict[str, str]) -> str | Unknown:
    part = fields.get("CPU part", "").lower()
    # NVIDIA's kernel gives every Arm core a model name too, but the same one: "ARMv8 Processor rev 1 (v8l)".
    if "model name" in fields and not part:
        return fields["model name"]
    core = ARM_PARTS.get(part, f"ARM part {part}" if part else "")
    board = fields.get("Model") or board_name(root) or fields.get("Hardware", "")
    return ", ".join(name for name in (board, core) if name) or Unknown("/proc/cpuinfo names no model")


def _cores(root: Path, text: str) -> dict[int, str]:
    """Return the physical core of every logical processor, as the kernel or else cpuinfo tells."""
    found: dict[int, str] = {}
    for block in text.split("\n\n"):
        fields = _fields(block)
        if not fields.get("processor", "").isdigit():
            continue
        number = int(fields["processor"])
        folder = root / f"sys/devices/system/cpu/cpu{number}/topology"
        siblings = text_of(folder / "core_cpus_list") or text_of(folder / "thread_siblings_list")
        core = f"{fields['physical id']}:{fields['core id']}" if "core id" in fields else f"{number}"
        found[number] = siblings.strip() or core
    return found


def _known(names: list[str]) -> tuple[str, ...]:
    return tuple(sorted({OTHER_NAMES.get(name, name) for name in names} & INSTRUCTION_SETS))


def _elsewhere(architecture: str) -> Cpu:
    import cpuinfo  # noqa: PLC0415 -- takes a second, and Linux does not need it
    import psutil  # noqa: PLC0415 -- same reason

    seen: dict[str, Any] = cpuinfo.get_cpu_info()
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    return Cpu(
        model=seen.get("brand_raw") or Unknown("py-cpuinfo names no model"),
        architecture=architecture,
        instruction_sets=_known(seen.get("flags", [])),
        physical_cores=cores,
        usable_physical_cores=cores,
        limit="",
    )
