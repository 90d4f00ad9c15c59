"""What a look at this box can find out, as frozen values: no reading and no judging happens here."""

import hashlib
import json
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that could not be found out."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor and how much of it this process may use."""

    model: str | Unknown
    architecture: str
    """As `uname -m` names it: `x86_64`, `aarch64`, `armv7l`."""
    instruction_sets: tuple[str, ...]
    """The ones that decide the speed of inference, by their Linux names, sorted."""
    physical_cores: int
    usable_physical_cores: int
    """After affinity and control group quota; at least 1."""
    limit: str
    """What keeps cores from this process; empty when nothing does."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory this process may use; a control group's limit counts like missing memory."""

    machine_bytes: int
    """All memory of the machine, whatever the limit."""
    total_bytes: int
    available_bytes: int
    limit: str
    """The file that limits us, or `the machine`."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU."""

    name: str
    uuid: str
    """NVML's name for it, which `CUDA_VISIBLE_DEVICES` understands; empty when there is none."""
    memory_total_bytes: int | Unknown
    memory_free_bytes: int | Unknown
    is_unified: bool
    """It has no memory of its own: what it uses is taken from the machine's."""
    compute_capability: tuple[int, int] | Unknown
    driver: str


@dataclass(frozen=True, slots=True)
class Adapter:
    """One DirectX display adapter of a Windows machine."""

    name: str
    dedicated_bytes: int | Unknown


@dataclass(frozen=True, slots=True)
class Packages:
    """The engine packages of this Python, found without importing them."""

    versions: tuple[tuple[str, str], ...]
    """Distribution and version, in the order of the engine table."""
    importable: frozenset[str]
    """Modules an import would find."""
    clashes: tuple[tuple[str, ...], ...]
    """Installed distributions that overwrite each other's files."""
    has_llama_cuda: bool | Unknown
    """Whether llama-cpp-python brought llama.cpp's CUDA library along."""

    def has(self, distribution: str) -> bool:
        """Tell whether a distribution is installed."""
        return any(name == distribution for name, _ in self.versions)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything `probe` found out about this box."""

    platform: str
    """As `sys.platform` names it: `linux`, `win32`, `darwin`."""
    system: str
    cpu: Cpu
    memory: Memory | Unknown
    gpus: tuple[Gpu, ...] | Unknown
    """Unknown also when there is none: its reason says why."""
    adapters: tuple[Adapter, ...] | Unknown
    disk_free_bytes: int | Unknown
    packages: Packages

    @property
    def fingerprint(self) -> str:
        """16 hex digits that stay the same until the hardware (or our share of it) changes.

        Memory counts in steps of 256 MiB, because a kernel update moves the exact number.
        """
        cpu = self.cpu
        memory = None if isinstance(self.memory, Unknown) else _steps(self.memory.machine_bytes)
        gpus = () if isinstance(self.gpus, Unknown) else self.gpus
        parts = [
            "" if isinstance(cpu.model, Unknown) else cpu.model,
            cpu.architecture,
            list(cpu.instruction_sets),
            [cpu.physical_cores, cpu.usable_physical_cores],
            memory,
            sorted([gpu.name, _steps(gpu.memory_total_bytes)] for gpu in gpus),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _steps(size_bytes: int | Unknown) -> int:
    return 0 if isinstance(size_bytes, Unknown) else round(size_bytes / (256 * MIB))
