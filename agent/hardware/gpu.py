"""NVIDIA GPUs, as the driver's management library (NVML) and the boards' device trees name them."""

# ruff: noqa: ANN401, D102, N802 -- NVML is untyped, and its names are its own

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from agent.hardware.board import jetson_capability, jetson_name
from agent.hardware.facts import Gpu, Memory, Unknown

NOT_SUPPORTED, NO_PERMISSION, NOT_LOADED, NO_LIBRARY, MISMATCH = 3, 4, 9, 12, 18
"""NVML's return codes; source: NVML API Reference, nvmlReturn_t."""

REASONS = {
    NO_PERMISSION: "no permission to ask the NVIDIA driver",
    NOT_LOADED: "the NVIDIA driver is installed but not loaded",
    NO_LIBRARY: "no NVIDIA driver: libnvidia-ml.so.1 not found",
    MISMATCH: "the NVIDIA driver and its library differ in version: reboot",
}


class Nvml(Protocol):
    """The part of pynvml that is used here; a test hands over a fake."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlSystemGetDriverVersion(self) -> str | bytes: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...
    def nvmlDeviceGetName(self, handle: Any) -> str | bytes: ...
    def nvmlDeviceGetUUID(self, handle: Any) -> str | bytes: ...
    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any: ...
    def nvmlDeviceGetCudaComputeCapability(self, handle: Any) -> tuple[int, int]: ...


def open_nvml() -> Nvml:
    """Import pynvml, which loads no driver library before `nvmlInit`."""
    return cast("Nvml", import_module("pynvml"))


def look_at_gpus(root: Path, nvml: Nvml, memory: Memory | Unknown) -> tuple[Gpu, ...] | Unknown:
    """Return the NVIDIA GPUs; `memory` is what a GPU without memory of its own shares.

    A Jetson board whose driver does not speak NVML (JetPack before 6) is known by its device tree.
    """
    board = jetson_name(root)
    found = _from_nvml(nvml, memory, board)
    if isinstance(found, Unknown) and board:
        return (_jetson(board, memory),)
    return found


def _from_nvml(nvml: Nvml, memory: Memory | Unknown, board: str) -> tuple[Gpu, ...] | Unknown:
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Unknown(_reason(error))
    try:
        return _devices(nvml, memory, board)
    finally:
        nvml.nvmlShutdown()


def _devices(nvml: Nvml, memory: Memory | Unknown, board: str) -> tuple[Gpu, ...] | Unknown:
    version = _ask(nvml, nvml.nvmlSystemGetDriverVersion)
    driver = "" if isinstance(version, Unknown) else _word(version)
    count = _ask(nvml, nvml.nvmlDeviceGetCount)
    if isinstance(count, Unknown):
        return count
    if not count:
        return Unknown(f"NVIDIA driver {driver} is present but no device")
    handles = [_ask(nvml, nvml.nvmlDeviceGetHandleByIndex, index) for index in range(count)]
    usable = [handle for handle in handles if not isinstance(handle, Unknown)]
    lost = next((handle for handle in handles if isinstance(handle, Unknown)), Unknown("no device"))
    return tuple(_gpu(nvml, handle, driver, memory, board) for handle in usable) or lost


def _gpu(nvml: Nvml, handle: Any, driver: str, memory: Memory | Unknown, board: str) -> Gpu:
    name, uuid = _ask(nvml, nvml.nvmlDeviceGetName, handle), _ask(nvml, nvml.nvmlDeviceGetUUID, handle)
    seen = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    # Jetson and GB10 answer 'not supported', because their GPU has no memory of its own.
    is_unified = bool(board) or (isinstance(seen, Unknown) and seen.reason == _code(NOT_SUPPORTED))
    total, free = _shared(memory) if is_unified else _own(seen)
    capability = _ask(nvml, nvml.nvmlDeviceGetCudaComputeCapability, handle)
    return Gpu(
        name=board or ("NVIDIA GPU" if isinstance(name, Unknown) else _word(name)),
        uuid="" if isinstance(uuid, Unknown) else _word(uuid),
        memory_total_bytes=total,
        memory_free_bytes=free,
        is_unified=is_unified,
        compute_capability=capability if isinstance(capability, Unknown) else (capability[0], capability[1]),
        driver=driver,
    )


def _jetson(board: str, memory: Memory | Unknown) -> Gpu:
    total, free = _shared(memory)
    capability = jetson_capability(board) or Unknown(f"{board} is not in our table")
    return Gpu(board, "", total, free, is_unified=True, compute_capability=capability, driver="")


def _shared(memory: Memory | Unknown) -> tuple[int | Unknown, int | Unknown]:
    return (memory, memory) if isinstance(memory, Unknown) else (memory.total_bytes, memory.available_bytes)


def _own(seen: Any) -> tuple[int | Unknown, int | Unknown]:
    return (seen, seen) if isinstance(seen, Unknown) else (int(seen.total), int(seen.free))


def _ask(nvml: Nvml, call: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a call answers, or Unknown: one call that fails must not hide the device."""
    try:
        return call(*arguments)
    except nvml.NVMLError as error:
        return Unknown(_reason(error))


def _reason(error: Exception) -> str:
    code = getattr(error, "value", 0)
    return REASONS.get(code, _code(code) if code == NOT_SUPPORTED else f"NVML: {error}")


def _code(code: int) -> str:
    return f"NVML return code {code}"


def _word(value: str | bytes) -> str:
    # Older releases of pynvml answer bytes.
    return value.decode(errors="replace") if isinstance(value, bytes) else value
