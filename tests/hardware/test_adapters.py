from dataclasses import dataclass
from typing import Any

from agent.hardware.adapters import CLASS_KEY, look_at_adapters
from agent.hardware.facts import Adapter, Unknown

GIB = 2**30


@dataclass
class FakeRegistry:
    """A registry whose keys are paths."""

    keys: dict[str, dict[str, Any]]
    HKEY_LOCAL_MACHINE: int = 0

    def OpenKey(self, key: int | str, sub_key: str) -> str:  # noqa: N802 -- winreg's names
        path = sub_key if key == self.HKEY_LOCAL_MACHINE else f"{key}\\{sub_key}"
        if path not in self.keys:
            raise FileNotFoundError(2, "The system cannot find the file specified")
        return path

    def EnumKey(self, key: str, index: int) -> str:  # noqa: N802
        names = [path.removeprefix(f"{key}\\") for path in self.keys if path.startswith(f"{key}\\")]
        if index >= len(names):
            raise OSError(259, "No more data is available")
        return names[index]

    def QueryValueEx(self, key: str, name: str) -> tuple[Any, int]:  # noqa: N802
        if name not in self.keys[key]:
            raise FileNotFoundError(2, "The system cannot find the file specified")
        return self.keys[key][name], 1


def registry(**adapters: dict[str, Any]) -> FakeRegistry:
    children = {f"{CLASS_KEY}\\{name.removeprefix('key')}": values for name, values in adapters.items()}
    return FakeRegistry({CLASS_KEY: {}, **children})


def test_adapters_are_named_with_the_memory_their_driver_wrote_down() -> None:
    found = registry(
        key0000={"DriverDesc": "NVIDIA RTX 4070", "HardwareInformation.qwMemorySize": 12 * GIB},
        key0001={
            "DriverDesc": "Intel UHD",
            "HardwareInformation.MemorySize": (GIB // 8).to_bytes(4, "little"),
        },
    )

    adapters = look_at_adapters(found)

    assert adapters == (Adapter("NVIDIA RTX 4070", 12 * GIB), Adapter("Intel UHD", GIB // 8))


def test_what_microsoft_draws_without_a_gpu_is_no_adapter() -> None:
    found = registry(key0000={"DriverDesc": "Microsoft Basic Display Adapter"}, keyProperties={})

    adapters = look_at_adapters(found)

    assert adapters == Unknown("no display adapter with a vendor's driver")


def test_a_driver_that_hides_its_memory_leaves_it_unknown() -> None:
    found = registry(key0000={"DriverDesc": "AMD Radeon"})

    adapters = look_at_adapters(found)

    assert adapters == (Adapter("AMD Radeon", Unknown("its driver does not tell how much memory it has")),)


def test_a_registry_without_the_class_is_a_fact() -> None:
    found = FakeRegistry({})

    adapters = look_at_adapters(found)

    assert isinstance(adapters, Unknown)
    assert adapters.reason.startswith("cannot read the display adapters: ")
