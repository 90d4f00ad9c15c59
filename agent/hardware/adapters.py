"""Display adapters of a Windows machine, read from its registry: what DirectML can run on."""

# ruff: noqa: ANN401, D102, N802 -- winreg is untyped here, and its names are its own

from importlib import import_module
from typing import Any, Protocol, cast

from agent.hardware.facts import Adapter, Unknown

CLASS_KEY = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
"""Where Windows lists display adapters; source: Microsoft, "System-Defined Device Setup Classes"."""

SIZES = ("HardwareInformation.qwMemorySize", "HardwareInformation.MemorySize")
"""Values a display driver writes; source: Microsoft, "Registering Hardware Information"."""


class Registry(Protocol):
    """The part of winreg that is used here; a test hands over a fake."""

    HKEY_LOCAL_MACHINE: int

    def OpenKey(self, key: Any, sub_key: str) -> Any: ...
    def EnumKey(self, key: Any, index: int) -> str: ...
    def QueryValueEx(self, key: Any, name: str) -> tuple[Any, int]: ...


def open_registry() -> Registry:
    """Import winreg, which exists on Windows only."""
    return cast("Registry", import_module("winreg"))


def look_at_adapters(registry: Registry) -> tuple[Adapter, ...] | Unknown:
    """Return the adapters that have a vendor's driver, or why there are none."""
    try:
        parent = registry.OpenKey(registry.HKEY_LOCAL_MACHINE, CLASS_KEY)
    except OSError as error:
        return Unknown(f"cannot read the display adapters: {error}")
    found = [_adapter(registry, parent, name) for name in _children(registry, parent)]
    # Microsoft's own drivers (Basic Display, Remote Display, Hyper-V) compute nothing.
    real = [adapter for adapter in found if adapter and not adapter.name.startswith("Microsoft ")]
    return tuple(real) or Unknown("no display adapter with a vendor's driver")


def _children(registry: Registry, parent: Any) -> list[str]:
    names: list[str] = []
    while True:
        try:
            name = registry.EnumKey(parent, len(names))
        except OSError:  # winreg's way to say that there are no more
            return [name for name in names if name.isdigit()]
        names.append(name)


def _adapter(registry: Registry, parent: Any, child: str) -> Adapter | None:
    try:
        key = registry.OpenKey(parent, child)
        name, _ = registry.QueryValueEx(key, "DriverDesc")
    except OSError:
        return None
    return Adapter(str(name), _dedicated_bytes(registry, key))


def _dedicated_bytes(registry: Registry, key: Any) -> int | Unknown:
    for name in SIZES:
        try:
            value, _ = registry.QueryValueEx(key, name)
        except OSError:
            continue
        # Intel's driver stores the number as raw little-endian bytes.
        return int.from_bytes(value, "little") if isinstance(value, bytes) else int(value)
    return Unknown("its driver does not tell how much memory it has")
