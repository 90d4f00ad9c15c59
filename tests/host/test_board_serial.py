"""Which box this is, from the files in which boards tell about themselves."""

from pathlib import Path

import pytest

from agent.host.board_serial import SOURCES, board_serial

DEVICE_TREE, PRODUCT, BOARD, MACHINE = SOURCES


def say(root: Path, source: str, text: str) -> None:
    file = root / source
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_the_device_tree_is_asked_first(tmp_path: Path) -> None:
    say(tmp_path, DEVICE_TREE, "10000000a1b2c3d4\0")
    say(tmp_path, MACHINE, "5a1c\n")

    serial = board_serial(tmp_path)

    assert serial == "10000000a1b2c3d4"


@pytest.mark.parametrize(
    "placeholder",
    ["To be filled by O.E.M.", "Default string", "0000000000", "FFFF-FFFF", "", "None", "x" * 129],
)
def test_what_makers_leave_in_the_place_of_a_number_is_passed_over(tmp_path: Path, placeholder: str) -> None:
    say(tmp_path, PRODUCT, f"{placeholder}\n")
    say(tmp_path, BOARD, "BSS-0815\n")

    serial = board_serial(tmp_path)

    assert serial == "BSS-0815"


def test_a_board_that_says_nothing_is_known_by_its_machine_id(tmp_path: Path) -> None:
    say(tmp_path, PRODUCT, "To Be Filled By O.E.M.\n")
    say(tmp_path, MACHINE, "1f0c8d2f5d5c4b31a1a2\n")

    serial = board_serial(tmp_path)

    assert serial == "1f0c8d2f5d5c4b31a1a2"


def test_a_box_that_nothing_tells_from_another_has_no_serial(tmp_path: Path) -> None:
    say(tmp_path, PRODUCT, "System Serial Number\n")

    serial = board_serial(tmp_path)

    assert serial == ""
