"""Which single-board computer this is, as its device tree says, and what NVIDIA's Jetson boards can do."""

from pathlib import Path

from agent.hardware.files import text_of

CAPABILITIES = {"Orin": (8, 7), "Xavier": (7, 2), "TX2": (6, 2), "TX1": (5, 3), "Nano": (5, 3)}
"""Compute capability by a word of the board's name; Orin first, because there is an Orin Nano.

Source: NVIDIA, "CUDA GPU Compute Capability", section Jetson products.
"""


def board_name(root: Path) -> str:
    """Return the name in the device tree; empty on machines without one."""
    return text_of(root / "proc/device-tree/model").rstrip("\0\n ")


def jetson_name(root: Path) -> str:
    """Return the name of this Jetson board; empty on anything else."""
    name = board_name(root)
    if "jetson" in name.lower():
        return name
    return (name or "NVIDIA Jetson") if (root / "etc/nv_tegra_release").exists() else ""


def jetson_capability(name: str) -> tuple[int, int] | None:
    """Return the compute capability of a Jetson board, or None when the name is new to us."""
    return next((value for word, value in CAPABILITIES.items() if word in name), None)
