"""How much memory an engine may take on which device, after the rest of the system has got its share."""

from dataclasses import dataclass

from agent.engines.table import Row
from agent.hardware.facts import MIB, Adapter, Facts, Gpu, Memory, Unknown

CPU_RESERVE_SHARE = 0.10
CPU_RESERVE_MIN_BYTES = 64 * MIB
CPU_RESERVE_MAX_BYTES = 2048 * MIB
"""On a large machine a tenth would be more than an idle system ever uses."""

GPU_RESERVE_BYTES = 256 * MIB
"""For a desktop that shares the GPU; the CUDA context itself counts as the engine's own need."""

INTEGRATED_BYTES = 1024 * MIB
"""An adapter with less memory of its own is taken for an integrated one, which uses the machine's."""

LOWEST_CAPABILITY = {"linux": (6, 0), "win32": (5, 2)}
"""The oldest GPUs that onnxruntime's CUDA 12 wheels for x86-64 have kernels for; CUDA 13 ends at 7.5.

Source: microsoft/onnxruntime, pull request 26516. NVIDIA's own wheels for Jetson are not meant.
"""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one device has to offer."""

    available_bytes: int | Unknown
    device: str
    """Its name; empty for the CPU."""
    gpu_uuid: str = ""


def budget_for(row: Row, facts: Facts) -> Budget | None:
    """Return the budget on the best device for a variant, or None when there is no such device."""
    if row.device == "cuda":
        return max((_on_gpu(gpu, facts) for gpu in gpus_for(row, facts)), key=_weight, default=None)
    if row.device == "dml":
        adapters = () if isinstance(facts.adapters, Unknown) else facts.adapters
        return max((_on_adapter(adapter, facts) for adapter in adapters), key=_weight, default=None)
    return Budget(_of_machine(facts.memory), "")


def gpus_for(row: Row, facts: Facts) -> tuple[Gpu, ...]:
    """Return the GPUs whose compute capability the variant's package is built for."""
    gpus = () if isinstance(facts.gpus, Unknown) else facts.gpus
    lowest = LOWEST_CAPABILITY.get(facts.platform, (0, 0))
    if row.library != "onnxruntime_genai" or facts.cpu.architecture.lower() not in ("x86_64", "amd64"):
        return gpus
    return tuple(
        gpu for gpu in gpus if isinstance(gpu.compute_capability, Unknown) or gpu.compute_capability >= lowest
    )


def _weight(budget: Budget) -> int:
    return -1 if isinstance(budget.available_bytes, Unknown) else budget.available_bytes


def _of_machine(memory: Memory | Unknown) -> int | Unknown:
    if isinstance(memory, Unknown):
        return memory
    share_bytes = int(memory.total_bytes * CPU_RESERVE_SHARE)
    reserve_bytes = min(max(share_bytes, CPU_RESERVE_MIN_BYTES), CPU_RESERVE_MAX_BYTES)
    return max(memory.available_bytes - reserve_bytes, 0)


def _on_gpu(gpu: Gpu, facts: Facts) -> Budget:
    if gpu.is_unified:
        return Budget(_of_machine(facts.memory), gpu.name, gpu.uuid)
    free = gpu.memory_free_bytes
    left = free if isinstance(free, Unknown) else max(free - GPU_RESERVE_BYTES, 0)
    return Budget(left, gpu.name, gpu.uuid)


def _on_adapter(adapter: Adapter, facts: Facts) -> Budget:
    dedicated = adapter.dedicated_bytes
    if not isinstance(dedicated, Unknown) and dedicated >= INTEGRATED_BYTES:
        return Budget(max(dedicated - GPU_RESERVE_BYTES, 0), adapter.name)
    shared = _of_machine(facts.memory)
    if isinstance(shared, Unknown) or isinstance(facts.memory, Unknown):
        return Budget(shared, adapter.name)
    # Windows lends a GPU at most half of the machine's memory.
    lent_bytes = min(shared, facts.memory.machine_bytes // 2)
    return Budget(lent_bytes + (0 if isinstance(dedicated, Unknown) else dedicated), adapter.name)
