"""Boxes that are reached by `ssh`, each a folder of its own; what runs on them is the real shell and scripts.

The ssh of these boxes is a script that is called like ssh. Their promptd is one too: it makes real keys and
real requests, because fifty Python processes would take a minute.
"""

import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

SSH = """\
#!/bin/sh
# Called like ssh: options, then `--`, the host, and the command.
while [ "$1" != -- ]; do shift; done
host=$2
echo "$host" >> "{farm}/calls"
if [ -e "{farm}/$host/away" ]; then
    echo "ssh: connect to host $host port 22: No route to host" >&2
    exit 255
fi
mkdir -p "{farm}/$host"
BOX_ROOT="{farm}/$host" PATH="{farm}/bin:$PATH" exec sh -c "$3"
"""

SYSTEMCTL = """\
#!/bin/sh
echo "$*" >> "$BOX_ROOT/systemctl"
"""

AS_SERVICE = """\
#!/bin/sh
STATE_DIRECTORY="$BOX_ROOT/var/lib/promptd" exec "$BOX_ROOT/opt/promptd/current/bin/promptd" "$@"
"""

INSTALL = """\
#!/bin/sh
set -eu
here=$(dirname "$0")
mkdir -p "$BOX_ROOT/opt/promptd/current/bin"
cp "$here/promptd" "$BOX_ROOT/opt/promptd/current/bin/promptd"
echo installed >> "$BOX_ROOT/installs"
"""

PROMPTD = """\
#!/bin/sh
set -eu
folder=$STATE_DIRECTORY/identity
mkdir -p "$folder"
case "$2" in
request)
    if [ ! -e "$folder/request.pem" ]; then
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$4" \\
            -keyout "$folder/key.pem" -out "$folder/request.new" 2> /dev/null
        mv "$folder/request.new" "$folder/request.pem"
    fi
    cat "$folder/request.pem"
    ;;
accept)
    cat > "$folder/reply.new"
    mv "$folder/reply.new" "$folder/reply.json"
    rm -f "$folder/request.pem"
    ;;
esac
"""

INVENTORY = """\
broker: {{url: 'mqtts://127.0.0.1:18883', state_dir: {folder}}}
authority: {{kind: own, passphrase_file: ../../passphrase}}
ssh: {{command: {ssh}, parallel: 8}}
groups:
  presses: {{settings: {{telemetry: {{interval_s: 5}}}}}}
{rest}
"""


class Farm:
    """Boxes, an install bundle for them, and the inventory of their fleet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.boxes = folder / "boxes"
        self.dist = folder / "dist"
        self.inventory = folder / "fleet.yaml"
        self.passphrase = folder / "passphrase"
        self.passphrase.write_text("a passphrase of a test")
        self._script(self.boxes / "ssh", SSH.format(farm=self.boxes))
        self._script(self.boxes / "bin" / "systemctl", SYSTEMCTL)
        self._script(self.boxes / "bin" / "promptd", AS_SERVICE)
        self.build("1")

    def build(self, version: str) -> None:
        """Put an install bundle for this machine into `dist`."""
        self.dist.mkdir(exist_ok=True)
        for old in self.dist.iterdir():
            old.unlink()
        name = f"promptd-{version}-{os.uname().machine}"
        with tarfile.open(self.dist / f"{name}.tar.gz", "w:gz") as file:
            for inner, text in (("install.sh", INSTALL), ("promptd", f"{PROMPTD}# version {version}\n")):
                entry = tarfile.TarInfo(f"{name}/{inner}")
                entry.size, entry.mode = len(text), 0o755
                file.addfile(entry, io.BytesIO(text.encode()))

    def write(self, devices: Mapping[str, Mapping[str, object]], rest: str = "") -> None:
        """Write the inventory. A device without an address gets one."""
        rows = "".join(
            f"  {name}: {json.dumps({'group': 'presses', 'address': f'root@{name}', **entry})}\n"
            for name, entry in devices.items()
        )
        whole = f"devices:\n{rows or '  {}'}\n{rest}"
        text = INVENTORY.format(folder=self.folder, ssh=self.boxes / "ssh", rest=whole)
        self.inventory.write_text(text)

    def box(self, name: str) -> Path:
        """Return the folder that is the root of a box."""
        return self.boxes / name

    def calls(self) -> list[str]:
        """Return the boxes that were called, one for each call."""
        file = self.boxes / "calls"
        return file.read_text().split() if file.exists() else []

    def certificate(self, name: str) -> str:
        """Return the certificate that a box has accepted, PEM; empty when it has none."""
        reply = self.box(name) / "var/lib/promptd/identity/reply.json"
        return str(json.loads(reply.read_text())["certificate"]) if reply.exists() else ""

    def _script(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
