"""Looks at this box and never judges. A look that fails becomes an unknown fact, never an exception."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from platform import machine, release, system
from typing import TypeVar

from agent.hardware.adapters import Registry, look_at_adapters, open_registry
from agent.hardware.cpu import look_at_cpu
from agent.hardware.facts import Adapter, Cpu, Facts, Gpu, Packages, Unknown
from agent.hardware.files import text_of
from agent.hardware.gpu import Nvml, look_at_gpus, open_nvml
from agent.hardware.memory import look_at_memory
from agent.hardware.packages import look_at_packages

Seen = TypeVar("Seen")


def _affinity() -> frozenset[int] | None:
    # Only Linux has it; elsewhere every processor counts.
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What `probe` looks at; a test hands over a made-up tree and fakes."""

    root: Path = Path("/")
    """The folder that holds /proc, /sys and /etc."""
    platform: str = sys.platform
    architecture: str = machine()
    affinity: Callable[[], frozenset[int] | None] = _affinity
    nvml: Callable[[], Nvml] = open_nvml
    registry: Callable[[], Registry] = open_registry
    packages: Callable[[], Packages] = look_at_packages


def probe(state_dir: Path, surroundings: Surroundings | None = None) -> Facts:
    """Return what this box is; `state_dir` (which need not exist yet) is where models are kept."""
    here = surroundings or Surroundings()
    memory = _look(lambda: look_at_memory(here.root, here.platform))
    cpu = _look(lambda: look_at_cpu(here.root, here.platform, here.architecture, here.affinity()))
    packages = _look(here.packages)
    return Facts(
        platform=here.platform,
        system=_system(here),
        cpu=_no_cpu(here.architecture, cpu) if isinstance(cpu, Unknown) else cpu,
        memory=memory,
        gpus=_look(lambda: look_at_gpus(here.root, here.nvml(), memory)),
        adapters=_look(lambda: _adapters(here)),
        disk_free_bytes=_look(lambda: _disk_free_bytes(state_dir)),
        packages=_no_packages(packages) if isinstance(packages, Unknown) else packages,
    )


def probe_gpus(surroundings: Surroundings | None = None) -> tuple[Gpu, ...] | Unknown:
    """Return the NVIDIA GPUs anew, for their free memory of this moment."""
    here = surroundings or Surroundings()
    memory = _look(lambda: look_at_memory(here.root, here.platform))
    return _look(lambda: look_at_gpus(here.root, here.nvml(), memory))


def _adapters(here: Surroundings) -> tuple[Adapter, ...] | Unknown:
    if here.platform != "win32":
        return Unknown("DirectX needs Windows")
    return look_at_adapters(here.registry())


def _look(look: Callable[[], Seen | Unknown]) -> Seen | Unknown:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 -- border: whatever this box does, it is a fact about it
        return Unknown(f"{type(error).__name__}: {error}")


def _no_cpu(architecture: str, why: Unknown) -> Cpu:
    return Cpu(why, architecture, (), physical_cores=1, usable_physical_cores=1, limit="")


def _no_packages(why: Unknown) -> Packages:
    return Packages(versions=(), importable=frozenset(), clashes=(), has_llama_cuda=why)


def _system(here: Surroundings) -> str:
    for line in text_of(here.root / "etc/os-release").splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip("\"'")
    return f"{system()} {release()}"


def _disk_free_bytes(folder: Path) -> int:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free
