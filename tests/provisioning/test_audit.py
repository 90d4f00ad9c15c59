"""The audit log: a line for each action, and no line changed, taken out or put in unnoticed."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning.audit import REFUSED, Audit
from provisioning.written import NotWrittenError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def audit(path: Path) -> Audit:
    audit = Audit(path, actor="operator")
    audit.add("sign", "box-1", number="0a")
    audit.add("enrol", "box-2", REFUSED, step="token", reason="it was used before")
    audit.add("revoke", "box-1", reason="stolen")
    return audit


def test_what_was_done_can_be_read_again(audit: Audit) -> None:
    entries = list(audit.entries())

    assert [(each.actor, each.action, each.subject, each.verdict) for each in entries] == [
        ("operator", "sign", "box-1", "ok"),
        ("operator", "enrol", "box-2", "refused"),
        ("operator", "revoke", "box-1", "ok"),
    ]
    assert entries[1].details == {"step": "token", "reason": "it was used before"}


def test_an_untouched_log_is_whole(audit: Audit) -> None:
    found = audit.verify()

    assert (found.entries, found.fault) == (3, "")


def _change(lines: list[bytes]) -> list[bytes]:
    return [lines[0].replace(b"box-1", b"box-9"), *lines[1:]]


def _take_out(lines: list[bytes]) -> list[bytes]:
    return [lines[0], *lines[2:]]


def _swap(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1]]


def _put_in(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[1], lines[2]]


@pytest.mark.parametrize("tamper", [_change, _take_out, _swap, _put_in])
def test_a_log_that_was_tampered_with_is_found_out(
    audit: Audit, path: Path, tamper: Callable[[list[bytes]], list[bytes]]
) -> None:
    path.write_bytes(b"".join(tamper(path.read_bytes().splitlines(keepends=True))))

    found = audit.verify()

    assert "does not follow the one before it" in found.fault


def test_a_cut_off_end_shows_in_the_digest_that_was_kept_elsewhere(audit: Audit, path: Path) -> None:
    kept = audit.verify().head
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))

    found = audit.verify()

    assert found.fault == ""
    assert found.head != kept


def test_a_line_torn_by_a_power_cut_is_cut_off_and_the_chain_goes_on(audit: Audit, path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"time": "2026')

    audit.add("sign", "box-3")

    assert audit.verify().fault == ""
    assert list(audit.entries())[-1].details == {"torn_bytes_cut": 14}


def test_a_log_whose_only_line_was_torn_begins_anew(path: Path) -> None:
    path.write_bytes(b'{"time"')
    audit = Audit(path, actor="operator")

    audit.add("sign", "box-1")

    assert (audit.verify().entries, audit.verify().fault) == (1, "")


def test_many_who_write_at_once_make_one_chain(path: Path) -> None:
    def write(number: int) -> None:
        for step in range(5):
            Audit(path, actor=f"operator-{number}").add("sign", f"box-{step}")

    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()

    assert (Audit(path).verify().entries, Audit(path).verify().fault) == (30, "")


def test_nobody_else_can_read_it(audit: Audit, path: Path) -> None:
    assert audit.verify().entries
    assert path.stat().st_mode & 0o077 == 0


def test_a_log_that_cannot_be_written_stops_the_work(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()

    with pytest.raises(NotWrittenError, match="nothing is done without a note"):
        Audit(tmp_path / "audit.jsonl").add("sign", "box-1")
