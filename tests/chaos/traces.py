"""The writes of a real process, as strace saw them: what was said, written and synced, in order."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chaos.device import SEARCH_PATH

CALLS = "pwrite64,pwritev,write,fdatasync,fsync,ftruncate,unlink,unlinkat"
TIMEOUT_S = 300
STANDARD_OUTPUT = 1

Kind = Literal["say", "write", "sync", "truncate", "remove"]


@dataclass(frozen=True, slots=True)
class Act:
    """One system call that matters after a power cut."""

    kind: Kind
    path: str = ""
    offset: int = 0
    """Where it writes, or the length after a truncation."""
    data: bytes = b""


# strace prints `PID name(FD<path>, "data", count, offset) = result`, text as \xhh (-xx), paths by -y.
_LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (\d+)")
_DESCRIPTOR = re.compile(r"^(\d+)<([^>]*)>(?:, )?")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


class TraceError(Exception):
    """The trace cannot be trusted."""


def trace(module: str, *arguments: str, file: Path) -> list[Act]:
    """Run a Python module under strace; return what it did to `file` and to what SQLite keeps beside it."""
    log = file.parent.with_suffix(".strace")
    watch = ["strace", "-f", "-xx", "-y", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(log)]
    program = [sys.executable, "-m", module, *arguments]
    surroundings = os.environ | {"PYTHONPATH": SEARCH_PATH}
    subprocess.run(
        [*watch, *program], check=True, stdout=subprocess.PIPE, timeout=TIMEOUT_S, env=surroundings
    )
    with log.open(encoding="ascii") as lines:
        acts = [act for line in lines if (act := _act(line, str(file)))]
    log.unlink()
    return acts


def _act(line: str, file: str) -> Act | None:
    """Read a line; None if it has nothing to do with the file."""
    found = _LINE.match(line)
    if found is None:
        return None
    call, arguments, result = found[1], found[2], int(found[3])
    if call in ("unlink", "unlinkat"):
        removed = [path.decode() for path in _texts(arguments) if path.startswith(file.encode())]
        return Act("remove", removed[0]) if removed else None
    descriptor = _DESCRIPTOR.match(arguments)
    if descriptor is None:
        return None
    rest = arguments[descriptor.end() :]
    if int(descriptor[1]) == STANDARD_OUTPUT and call == "write":
        return Act("say", data=next(_texts(rest)))
    path = _unescape(descriptor[2]).decode()
    return _file_act(call, path, rest, result) if path.startswith(file) else None


def _file_act(call: str, path: str, rest: str, result: int) -> Act:
    match call:
        case "pwrite64":
            data = next(_texts(rest))
            if len(data) != result:
                raise TraceError(f"{result} bytes were written to {path}, {len(data)} are in the trace")
            return Act("write", path, int(rest.rpartition(", ")[2]), data)
        case "fsync" | "fdatasync":
            return Act("sync", path)
        case "ftruncate":
            return Act("truncate", path, int(rest))
        case _:
            raise TraceError(f"SQLite is not known to call {call}; teach chaos/traces.py what it means")


def _texts(arguments: str) -> Iterator[bytes]:
    for found in _TEXT.finditer(arguments):
        if found[2]:
            raise TraceError("strace has cut a text off; raise -s")
        yield _unescape(found[1])


def _unescape(text: str) -> bytes:
    """Return the bytes of `\\xhh\\xhh`; text that is not escaped stays as it is."""
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode()
