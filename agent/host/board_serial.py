"""Which box this is, as the board itself says: the serial number of its maker, or the machine's own id."""

from pathlib import Path

SOURCES = (
    "proc/device-tree/serial-number",
    "sys/class/dmi/id/product_serial",
    "sys/class/dmi/id/board_serial",
    "etc/machine-id",
)
"""The first that says something counts. On PCs only root may read the serial numbers of `dmi` until
systemd/promptd.tmpfiles opens them to the agent; the machine id is made at installation, so that a copied
disk brings its twin's along (machine-id(5))."""

PLACEHOLDERS = {
    "",
    "0123456789",
    "123456789",
    "1234567890",
    "default string",
    "default_string",
    "empty",
    "invalid",
    "n/a",
    "none",
    "not applicable",
    "not available",
    "not specified",
    "o.e.m.",
    "oem",
    "serial number",
    "board serial number",
    "system serial number",
    "to be filled by o.e.m.",
    "uninitialized",
    "unknown",
}
"""What makers leave in the place of a serial number, in lower case: thousands of boards would share it."""
LONGEST_CHARACTERS = 128


def board_serial(root: Path = Path("/")) -> str:
    """Return the serial number of this box; empty when nothing tells one box from another."""
    return next(filter(None, (_said_by(root / source) for source in SOURCES)), "")


def _said_by(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8", errors="replace").strip("\0 \t\r\n")
    except OSError:  # not there, or only for root
        return ""
    is_one = text.isprintable() and len(text) <= LONGEST_CHARACTERS
    return "" if not is_one or text.lower() in PLACEHOLDERS or _is_one_character(text) else text


def _is_one_character(text: str) -> bool:
    """Tell `00000000` and `ffff-ffff` from a number that somebody gave."""
    return len(set(text.lower()) - set("-. ")) <= 1
