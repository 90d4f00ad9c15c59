"""What a process asks of the kernel for itself: no core dumps, and an end with its parent."""

import ctypes
import os
import signal
import sys

if sys.platform != "win32":
    import resource

PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4  # prctl(2), linux/prctl.h


def keep_no_core() -> None:
    """Let no crash write the memory of this process to a disk: prompts, answers and keys are in it.

    A core that the kernel pipes to a program knows no limit of size (core(5)), so Linux is told besides that
    this process must not be dumped. A debugger of the same user cannot look into it then (ptrace(2)).
    """
    if sys.platform != "win32":
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)


def die_with(parent: int) -> bool:
    """Ask Linux to end this process with its parent; False when that one is gone already.

    A parent that dies before the request is not noticed by the kernel, but the process then has another one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        return os.getppid() == parent
    return True
