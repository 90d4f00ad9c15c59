"""Downloads a source distribution in the version and with the hashes of `constraints.txt`."""

import subprocess
import sys
from pathlib import Path

from benchmarks.answer import PeerError

CONSTRAINTS = Path("constraints.txt")


def download_pinned(package: str, folder: Path) -> Path:
    """Download the source of a pinned package; return the archive.

    Raises:
        PeerError: it cannot be downloaded, or is another file than the pinned one.
    """
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(f"{package}=="))
    last = next(n for n in range(first + 1, len(lines)) if not lines[n].startswith(" "))
    wanted = folder / "wanted.txt"
    wanted.write_text("\n".join(lines[first:last]) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    command += ["--require-hashes", "-r", str(wanted), "-d", str(folder)]
    if subprocess.run(command, check=False).returncode:
        raise PeerError(f"the source of {package} cannot be downloaded; see above")
    return next(folder.glob("*.tar.gz"))
