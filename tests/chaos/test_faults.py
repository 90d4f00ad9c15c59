"""The faults where they could lie: a write that does not fail, a growth that nobody sees."""

import errno
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.bad_models import Copy
from chaos.freezes import frozen_while
from chaos.soak import MIB, Sample, excesses, growth
from chaos.watchdog import Pings
from chaos.writes import Writes

CAP_BYTES = 256 * MIB
WRITER = """
import os, sys
with open(sys.argv[1], "wb", buffering=0) as file:
    for number in range(6):
        try:
            os.pwrite(file.fileno(), b"x", number)
            print(0)
        except OSError as error:
            print(error.errno)
"""


def written(writes: Writes, file: Path) -> list[int]:
    """Let a process write six times; return the errno of each."""
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(file)],
        env=writes.environment,
        capture_output=True,
        check=True,
        text=True,
    )
    return [int(word) for word in done.stdout.split()]


def grown(times: int, **by: int) -> list[Sample]:
    """Return a sample a minute, of which some figures grow by so much each time."""
    first = Sample(0.0, 80 * MIB, 20, 7, MIB, 10 * MIB)
    figures = {name: getattr(first, name) for name in by}
    return [
        replace(first, at_s=60.0 * n, **{name: figures[name] + n * step for name, step in by.items()})
        for n in range(times)
    ]


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_the_wanted_write_fails_and_all_after_it(error: int, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    writes = Writes(tmp_path)
    writes.fail_from(4, error)

    errors = written(writes, tmp_path / "state" / "file")

    assert (errors, writes.failed) == ([0, 0, 0, error, error, error], 3)


def test_writes_elsewhere_do_not_fail(tmp_path: Path) -> None:
    writes = Writes(tmp_path)
    writes.fail_from(1, errno.EIO)

    errors = written(writes, tmp_path / "elsewhere")

    assert (errors, writes.failed) == ([0] * 6, 0)


def test_a_healed_disk_takes_everything(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    writes = Writes(tmp_path)
    writes.fail_from(1, errno.EIO)
    writes.heal()

    errors = written(writes, tmp_path / "state" / "file")

    assert errors == [0] * 6


def test_what_does_not_grow_is_no_excess() -> None:
    samples = grown(120)

    found = excesses(growth(samples), CAP_BYTES)

    assert found == []


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (grown(120, rss_bytes=MIB // 60), "memory grows"),
        (grown(20, rss_bytes=MIB), "memory grows"),
        (grown(6, descriptors=1), "descriptors"),
        (grown(2, threads=1), "threads"),
        (grown(8, wal_bytes=MIB), "log of the ledger"),
        (grown(30, ledger_bytes=10 * MIB), "outgrows"),
    ],
    ids=["slowly", "fast", "descriptors", "threads", "log", "ledger"],
)
def test_what_grows_is_an_excess(samples: Sequence[Sample], words: str) -> None:
    found = excesses(growth(samples), CAP_BYTES)

    assert [words in one for one in found] == [True]


def test_a_gap_between_pings_is_measured_to_its_end(tmp_path: Path) -> None:
    with Pings(tmp_path) as pings:
        pings.heard_s = [0.5, 1.0, 2.0, 7.0, 30.0]

    gap_s = pings.longest_gap_s(0.0, 20.0)

    assert gap_s == 13.0


def test_what_is_frozen_begins_when_the_sign_is_gone(tmp_path: Path) -> None:
    sign, moments = tmp_path / "frozen", list[float]()
    sign.touch()
    program = frozen_while(sign, lambda: moments.append(time.monotonic()))
    remover = subprocess.Popen(["sh", "-c", f"sleep 0.3; rm {sign}"])

    program()

    assert remover.wait(10) == 0
    assert len(moments) == 1


def test_a_copy_with_one_flipped_bit_differs_in_one_byte(tmp_path: Path) -> None:
    copy = Copy(tmp_path / "demo")
    whole = copy.weights.read_bytes()

    copy.flip()

    flipped = copy.weights.read_bytes()
    assert sum(one != other for one, other in zip(whole, flipped, strict=True)) == 1


def test_a_mended_copy_is_admitted(tmp_path: Path) -> None:
    copy = Copy(tmp_path / "demo")
    copy.swap()
    copy.mend()

    refusal = copy.candidate.guard.admit(lambda: None)

    assert refusal == ""
