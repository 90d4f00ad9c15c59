"""A unit of a box as `systemctl` knows it."""

from system.machine import Machine


class Service:
    """One unit of one box."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine, self.name = machine, name

    @property
    def main_pid(self) -> int:
        """Its main process, as the box counts; 0 while there is none."""
        return int(self.show("MainPID"))

    @property
    def child_pid(self) -> int:
        """The one child of its main process, as the box counts; 0 while there is none."""
        pid = self.main_pid
        return int(self.machine.run("cat", f"/proc/{pid}/task/{pid}/children") or 0)

    @property
    def restarts(self) -> int:
        """How often systemd has started it again by itself."""
        return int(self.show("NRestarts"))

    def show(self, name: str) -> str:
        """Return a property."""
        return self.machine.run("systemctl", "show", self.name, f"--property={name}", "--value")

    def do(self, verb: str) -> None:
        """Start, stop, restart or reload it, and wait until that is done."""
        self.machine.run("systemctl", verb, self.name)

    def signal(self, name: str) -> None:
        """Send a signal to its main process only."""
        self.machine.run("systemctl", "kill", f"--signal={name}", "--kill-whom=main", self.name)

    def kill_child(self) -> None:
        """End the one child of its main process, without warning."""
        self.machine.run("sh", "-c", f"kill -KILL {self.child_pid}")

    def freeze_child(self) -> None:
        """Stop the one child of its main process where it stands."""
        self.machine.run("sh", "-c", f"kill -STOP {self.child_pid}")

    def drop_in(self, text: str) -> None:
        """Change the unit until the box is off; nothing as `text` takes the change back."""
        folder = f"/run/systemd/system/{self.name}.service.d"
        self.machine.run("mkdir", "-p", folder)
        self.machine.run("tee", f"{folder}/90-test.conf", given=text)
        self.machine.run("systemctl", "daemon-reload")

    def wait_for_another(self, pid: int, timeout_s: float = 60) -> int:
        """Wait until it runs, ready, with another main process than `pid`; return the new one."""

        def another() -> int:
            is_ready = self.show("ActiveState") == "active"
            return self.main_pid if is_ready and self.main_pid != pid else 0

        return self.machine.wait_for(another, f"another life of {self.name}", timeout_s)

    def journal(self) -> str:
        """Return what systemd and the unit have said about it since the box was made."""
        return self.machine.journal(f"--unit={self.name}", "--output=cat")
