"""One box behind a real sshd: its files lie in a folder, its systemctl starts a real agent."""

import getpass
import os
import shutil
import subprocess
import sys
from pathlib import Path

from rig.farm import AS_SERVICE
from rig.mosquitto import free_port
from rig.process import Child

HOUSE = Path(__file__).parents[2]

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
ForceCommand {folder}/bin/enter
"""

ENTER = """\
#!/bin/sh
BOX_ROOT={folder}/root PATH={folder}/bin:$PATH exec sh -c "$SSH_ORIGINAL_COMMAND"
"""

SYSTEMCTL = """\
#!/bin/sh
pid={folder}/agent.pid
if [ -e "$pid" ] && kill "$(cat "$pid")" 2> /dev/null; then
    while kill -0 "$(cat "$pid")" 2> /dev/null; do sleep 0.05; done
fi
[ "$1" = stop ] && exit 0
setsid {folder}/bin/promptd run > {folder}/agent.log 2>&1 < /dev/null &
echo $! > "$pid"
"""

PROMPTD = """\
#!/bin/sh
cd {house} || exit 1
export PROMPTD_BROKER__CA_FILE="$BOX_ROOT/etc/promptd/ca.pem" PROMPTD_ENGINE__REQUIRE=echo
exec {python} -m agent.cli "$@" --config "$BOX_ROOT/etc/promptd/promptd.toml"
"""


class SshBox:
    """A box that the system's own ssh reaches; promptd is installed there already."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root, self.port = folder, folder / "root", free_port()
        for name in ("host_key", "key"):
            self._run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
        shutil.copy(folder / "key.pub", folder / "authorized_keys")
        words = (folder / "host_key.pub").read_text().split()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {words[0]} {words[1]}\n")
        self._script(folder / "bin/enter", ENTER.format(folder=folder))
        self._script(folder / "bin/systemctl", SYSTEMCTL.format(folder=folder))
        self._script(folder / "bin/promptd", AS_SERVICE)
        promptd = PROMPTD.format(house=HOUSE, python=sys.executable)
        self._script(self.root / "opt/promptd/current/bin/promptd", promptd)
        (folder / "sshd_config").write_text(CONFIG.format(folder=folder, port=self.port))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd wants it, and only its service makes it
        self.child = Child(
            [shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config")]
        )
        self.child.wait_for_line(lambda line: "listening" in line)

    @property
    def address(self) -> str:
        """As the inventory has it."""
        return f"{getpass.getuser()}@127.0.0.1:{self.port}"

    @property
    def options(self) -> list[str]:
        """What ssh needs to trust this box, and to be let in."""
        known = self.folder / "known_hosts"
        return ["BatchMode=yes", f"IdentityFile={self.folder / 'key'}", f"UserKnownHostsFile={known}"]

    def end(self) -> None:
        """End the agent and sshd, each by its own process id."""
        stop = [str(self.folder / "bin/systemctl"), "stop"]
        subprocess.run(stop, check=True, timeout=30, env=os.environ | {"BOX_ROOT": str(self.root)})
        self.child.end()

    def _run(self, *words: str) -> None:
        subprocess.run(words, check=True, timeout=30, capture_output=True)

    def _script(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
