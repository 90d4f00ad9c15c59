"""What a process asks of the kernel: real processes, because it cannot be taken back."""

import os
import subprocess
import sys

import pytest

NO_CORE = """
import ctypes, resource
from agent.host.kernel import keep_no_core
keep_no_core()
print(*resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3))
"""
PARENT = "import os; from agent.host.kernel import die_with; print(die_with({parent}))"


def printed(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout.strip()


def test_a_process_that_keeps_no_core_cannot_be_dumped() -> None:
    soft, hard, dumpable = printed(NO_CORE).split()

    assert (soft, hard, dumpable) == ("0", "0", "0")


@pytest.mark.parametrize(("parent", "is_there"), [(os.getpid(), "True"), (1, "False")], ids=["ours", "gone"])
def test_a_process_knows_whether_its_parent_is_still_there(parent: int, is_there: str) -> None:
    found = printed(PARENT.format(parent=parent))

    assert found == is_there
