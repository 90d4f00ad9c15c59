"""A box: Debian booted by systemd-nspawn from layers of folders, with a cable to the bridge."""

import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import psutil

from system import lan
from system.cells import Cell

PATIENCE_S = 60.0
LOOK_S = 0.1

NETWORK_FILE = """\
[Match]
Name=host0
[Network]
Address={address}/24
LinkLocalAddressing=no
IPv6AcceptRA=no
"""

FIRST_PROCESS = """\
memory=/sys/fs/cgroup/memory
[ ! -d $memory ] || mount -o remount,bind,rw $memory
exec /lib/systemd/systemd
"""
"""A control group of version 1 comes into a container read-only, and systemd would let MemoryMax= pass and do
nothing. What lies there is only the part that belongs to this box."""

Seen = TypeVar("Seen")


class Machine:
    """One box with a disk of its own over `layers`, the uppermost first; it runs once it is started."""

    def __init__(self, name: str, number: int, layers: Sequence[Path], folder: Path) -> None:
        self.name = name
        self.address = lan.address(number)
        self.changes = folder / "changes"
        """What this box has written: a layer for other boxes, once this one is off."""
        self._root, self._folder = folder / "root", folder
        self._cell = Cell(name)
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._mount(layers)
        self.write("/etc/machine-id", f"{self.serial_of(name)}\n")
        self.write("/etc/systemd/network/10-host0.network", NETWORK_FILE.format(address=self.address))
        self.write("/etc/hosts", f"{lan.HOSTS}127.0.1.1 {name}\n")

    @staticmethod
    def serial_of(name: str) -> str:
        """Return the machine id of a box: all that tells one without a maker from another."""
        return uuid.uuid5(uuid.NAMESPACE_DNS, name).hex

    def start(self) -> None:
        """Switch on, and wait until everything is started that starts by itself."""
        nspawn = ["systemd-nspawn", "--quiet", f"--directory={self._root}", f"--machine={self.name}"]
        alone = ["--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off", "--timezone=off"]
        cable = [f"--network-bridge={lan.BRIDGE}", "--console=pipe"]
        with (self._folder / "console").open("ab") as console:
            self._nspawn = self._cell.start([*nspawn, *alone, *cable, "sh", "-c", FIRST_PROCESS], console)
        self._wait_until_booted()

    def reboot(self) -> None:
        """Restart as `reboot` does: systemd stops what runs, and a new one starts."""
        self._leave("reboot")
        self.start()

    def shut_down(self) -> None:
        """Switch off as `poweroff` does."""
        self._leave("poweroff")

    def lose_power(self) -> None:
        """Switch off as a power cut does: every process is gone at once."""
        if self._nspawn is not None:
            psutil.Process(self._leader() or self._nspawn.pid).kill()
            self._nspawn.wait(PATIENCE_S)
            self.wait_for(self._cell.is_empty, "the end of all processes")
            self._nspawn = None

    def cut(self) -> None:
        """Pull the cable: no packet passes, and the other end is not told."""
        lan.cut(self.name)

    def mend(self) -> None:
        """Put the cable back."""
        lan.mend(self.name)

    def run(self, *command: str, given: str = "", timeout_s: float = PATIENCE_S) -> str:
        """Run a command as root in the box and return what it says; one that fails is the test's failure."""
        done = self.try_to_run(*command, given=given, timeout_s=timeout_s)
        assert done.returncode == 0, (
            f"{command} on {self.name}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout.strip()

    def try_to_run(
        self, *command: str, given: str = "", timeout_s: float = PATIENCE_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root in the box, whatever comes of it."""
        leader = self._leader()
        assert leader, f"{self.name} is off"  # a command for a box must never run beside it
        inside = ["nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        plain = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]
        return subprocess.run(
            [*inside, "--", *plain, *command],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def wait_for(self, look: Callable[[], Seen], what: str, timeout_s: float = PATIENCE_S) -> Seen:
        """Look until there is something to see, and return it."""
        end_s = time.monotonic() + timeout_s
        while not (seen := look()):
            assert time.monotonic() < end_s, f"{self.name}: {what} did not come within {timeout_s:.0f} s"
            time.sleep(LOOK_S)
        return seen

    def path(self, inside: str) -> Path:
        """Return where a path of the box lies for the test; not below /run, /tmp, /proc, /sys and /dev."""
        return self._root / inside.lstrip("/")

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the box, which may be off."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def start_at_boot(self, *units: str) -> None:
        """Have Debian's own units start with the next boot; the box may be off."""
        subprocess.run(["systemctl", f"--root={self._root}", "--quiet", "enable", *units], check=True)

    def journal(self, *words: str) -> str:
        """Return the journal, of all boots, also of a box that is off."""
        command = ["journalctl", f"--directory={self.path('/var/log/journal')}", "--no-pager", "--quiet"]
        return subprocess.run([*command, *words], capture_output=True, text=True, check=False).stdout

    def last_words(self) -> str:
        """Return what a person wants to see when a test has failed."""
        return self.journal("--lines=200", "--output=short-precise")

    def unmount(self) -> None:
        """Take the layers of a box that is off apart."""
        if self._root.is_mount():
            subprocess.run(["umount", self._root], check=True)

    def close(self) -> None:
        """Switch off and throw the box away."""
        self.lose_power()
        self.unmount()
        self._cell.remove()
        shutil.rmtree(self._folder)

    def _mount(self, layers: Sequence[Path]) -> None:
        work = self._folder / "work"
        for folder in (self._root, self.changes, work):
            folder.mkdir(parents=True)
        options = f"lowerdir={':'.join(map(str, layers))},upperdir={self.changes},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, self._root], check=True)

    def _leave(self, verb: str) -> None:
        assert self._nspawn is not None
        self.run("systemctl", verb, "--no-block")
        self._nspawn.wait(PATIENCE_S)
        self._nspawn = None

    def _leader(self) -> int | None:
        """Return the first process of the box, once it is systemd itself."""
        if self._nspawn is None or not psutil.pid_exists(self._nspawn.pid):
            return None
        children = psutil.Process(self._nspawn.pid).children()
        return next((child.pid for child in children if _is_init(child)), None)

    def _wait_until_booted(self) -> None:
        self.wait_for(self._is_booted, "the end of the boot")

    def _is_booted(self) -> bool:
        """Whether the boot has ended; units that failed are the test's own affair."""
        if self._leader() is None:
            assert self._nspawn is not None
            assert self._nspawn.poll() is None, (self._folder / "console").read_text()
            return False
        return self.try_to_run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")


def _is_init(process: psutil.Process) -> bool:
    status = Path(f"/proc/{process.pid}/status")
    try:
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    except FileNotFoundError:
        return False
    return lines["Name"].strip() == "systemd" and lines["NSpid"].split()[1:] == ["1"]
