"""The SQLite file: damaged, old, too new, on a full disk, and written by many at once."""

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.flow import database, disk
from agent.flow.birth import Birth
from agent.flow.disk import BALLAST_BYTES, Disk
from agent.flow.storage import DiskShortError, Storage, StorageError
from agent.wire.errors import ConfigError

PATIENCE_S = 10


def count(storage: Storage) -> int:
    return int(storage.fetch("SELECT count(*) FROM answer")[0][0])


def insert(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO answer (body, state, received_s, deadline_s) VALUES (x'00', 'unsent', 0, 0)")


def full(db: sqlite3.Connection) -> None:
    insert(db)
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_a_damaged_file_is_set_aside_and_a_new_one_begun(path: Path) -> None:
    Storage(path).close()
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 3] = b"\xff" * (4096 * 2)
    path.write_bytes(content)

    storage = Storage(path)

    assert storage.set_aside is not None
    assert storage.set_aside.read_bytes()[4096 : 4096 * 3] == b"\xff" * (4096 * 2)
    assert (storage.birth.number, count(storage)) == (2, 0)
    storage.close()


def test_a_file_that_is_no_database_is_set_aside(path: Path) -> None:
    path.write_bytes(b"no database at all" * 512)

    storage = Storage(path)

    assert storage.set_aside is not None
    storage.close()


def test_a_whole_file_stays_where_it_is(path: Path) -> None:
    Storage(path).close()

    storage = Storage(path)

    assert (storage.set_aside, storage.birth) == (None, Birth(2, is_ledger_lost=False))
    storage.close()


def test_a_file_that_has_vanished_is_noticed_and_the_births_go_on(path: Path) -> None:
    Storage(path).close()
    for file in path.parent.glob("ledger.db*"):
        file.unlink()

    storage = Storage(path)

    assert storage.birth == Birth(2, is_ledger_lost=True)
    storage.close()


def test_a_ledger_of_version_1_is_brought_up_to_date_with_all_it_holds(path: Path) -> None:
    old = sqlite3.connect(path)
    old.executescript((database.SCHEMA / "1.sql").read_text(encoding="utf-8"))
    old.execute(
        "INSERT INTO prompt (key, digest, id, priority, body, state, received_s, deadline_s)"
        " VALUES (x'01', x'02', 'a', 1, x'030303', 'waiting', 0, 1)"
    )
    old.commit()
    old.close()

    storage = Storage(path)

    assert storage.fetch("SELECT id, size_bytes FROM prompt") == [("a", 3)]
    storage.close()


def test_a_ledger_of_a_newer_promptd_is_left_alone(path: Path) -> None:
    Storage(path).close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version=99")
    newer.close()

    with pytest.raises(ConfigError, match="newer promptd"):
        Storage(path)


def test_a_folder_that_cannot_be_made_is_an_error_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(ConfigError, match="state_dir"):
        Storage(tmp_path / "file" / "ledger.db")


def test_a_file_that_somebody_else_holds_is_no_reason_to_stay_down(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PRAGMAS", ("busy_timeout=1", *database.PRAGMAS[:-1]))
    Storage(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StorageError) as caught:
        Storage(path)

    assert caught.value.exit_code == 1  # systemd starts it again, which it does not after 78
    other.close()


def test_those_who_wait_for_a_commit_share_the_next_one(path: Path) -> None:
    storage = Storage(path)
    statements: list[str] = []
    began, may_go_on = threading.Event(), threading.Event()

    def hold(db: sqlite3.Connection) -> None:
        insert(db)
        began.set()
        assert may_go_on.wait(PATIENCE_S)

    threads = [threading.Thread(target=storage.write, args=(hold,), kwargs={"durable": True})]
    threads[0].start()
    assert began.wait(PATIENCE_S)
    storage._db.set_trace_callback(statements.append)
    threads += [threading.Thread(target=storage.try_write, args=(insert,)) for _ in range(5)]
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: len(storage._waiting) == 5)
    may_go_on.set()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert count(storage) == 6
    assert statements.count("COMMIT") == 2  # of the one who held it, and of all others together
    storage.close()


def test_a_change_that_refuses_takes_back_only_itself(path: Path) -> None:
    storage = Storage(path)

    def refuse(db: sqlite3.Connection) -> None:
        insert(db)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        storage.try_write(refuse)
    storage.try_write(insert)

    assert count(storage) == 1
    storage.close()


def test_what_may_fail_fails_at_once_on_a_full_disk(path: Path) -> None:
    storage = Storage(path)

    with pytest.raises(DiskShortError):
        storage.try_write(full)

    assert (count(storage), storage.disk.is_short) == (0, True)
    storage.close()


def test_what_must_be_written_waits_until_the_disk_has_room(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.flow.storage.PATIENCE_S", 0.01)
    idled: list[None] = []
    storage = Storage(path, lambda: idled.append(None))
    tries: list[Callable[[sqlite3.Connection], None]] = [full, full, insert]

    def work(db: sqlite3.Connection) -> None:
        tries.pop(0)(db)

    storage.write(work, durable=True)

    assert (count(storage), len(idled)) == (1, 2)
    storage.close()


def test_an_agent_that_stops_does_not_wait_for_the_disk(path: Path) -> None:
    storage = Storage(path)
    storage.stop_waiting()

    with pytest.raises(DiskShortError):
        storage.write(full, durable=True)

    storage.close()


def test_trouble_throws_off_the_ballast_and_recovery_takes_it_on_again(tmp_path: Path) -> None:
    ballast = tmp_path / "ballast"
    guarded = Disk(tmp_path)
    had = ballast.stat().st_size

    guarded.trouble("full")
    was_there, was_short = ballast.exists(), guarded.is_short

    assert (had, was_there, was_short) == (BALLAST_BYTES, False, True)
    assert guarded.recover()
    assert (ballast.stat().st_size, guarded.is_short) == (BALLAST_BYTES, False)


def test_a_disk_that_is_almost_full_takes_nothing_new_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = Disk(tmp_path)
    monkeypatch.setattr(disk.Disk, "_free_bytes", lambda _: 1000)

    is_short = guarded.is_short

    assert is_short
    assert not guarded.has_room()


def wait_until(is_so: Callable[[], bool]) -> None:
    news = threading.Event()
    for _ in range(1000):
        if is_so():
            return
        news.wait(0.01)
    raise AssertionError("it did not happen")


@pytest.mark.parametrize(("is_locked", "advice"), [(True, "end the other program"), (False, "make room")])
def test_a_write_that_fails_is_told_with_what_a_person_can_do(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, is_locked: bool, advice: str
) -> None:
    monkeypatch.setattr(database, "PRAGMAS", ("journal_mode=WAL", "busy_timeout=0"))
    storage = Storage(path)
    other = sqlite3.connect(path, isolation_level=None)
    if is_locked:
        other.execute("BEGIN IMMEDIATE")

    with pytest.raises(DiskShortError):
        storage.try_write(full)

    other.close()
    assert advice in storage.disk.reason
    storage.close()


def test_who_only_reads_is_not_held_up_for_long_by_a_program_that_holds_the_ledger(path: Path) -> None:
    storage = Storage(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writers = [
        threading.Thread(target=storage.write, args=(insert,), kwargs={"durable": True}) for _ in "abc"
    ]
    for writer in writers:
        writer.start()

    began_s = time.monotonic()
    for _ in range(3):
        count(storage)
    took_s = time.monotonic() - began_s

    other.close()
    for writer in writers:
        writer.join(PATIENCE_S)
    assert (count(storage), took_s < PATIENCE_S) == (3, True)
    storage.close()
