"""Power cuts (G3): the disk of a real process is rebuilt as a cut may leave it, at any of its writes.

What was synced is there. Of what was written since, each write may be there, be missing, or be torn at
sectors of 512 bytes. Creating and removing a file are taken as durable at once.
"""

import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.wire.errors import AgentError
from chaos.power_child import open_ledger
from chaos.tally import Finding, Tally
from chaos.traces import Act, trace

SECTOR_BYTES = 512
PROMPTS = 80
SEED = 3
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- a disk that needs no waiting; nobody else writes there
ACKNOWLEDGED = {
    "accepted": "SELECT id FROM prompt",
    "finished": "SELECT p.id FROM prompt p JOIN answer a ON a.prompt = p.number WHERE p.state = 'done'",
}
"""Where what was acknowledged must be found."""


@dataclass(slots=True)
class Disk:
    """Files as they surely are, and what was done to them since the last sync."""

    durable: dict[str, bytearray] = field(default_factory=dict)
    pending: dict[str, list[Act]] = field(default_factory=dict)

    def apply(self, act: Act) -> None:
        """Do what the process did."""
        match act.kind:
            case "write" | "truncate":
                self.pending.setdefault(act.path, []).append(act)
            case "sync":
                content = self.durable.setdefault(act.path, bytearray())
                for one in self.pending.pop(act.path, []):
                    _do(content, one)
            case "remove":
                self.durable.pop(act.path, None)
                self.pending.pop(act.path, None)

    def cut(self, rng: random.Random) -> dict[str, bytearray]:
        """Return the files as a power cut at this moment may leave them."""
        files = {path: bytearray(content) for path, content in self.durable.items()}
        for path, acts in self.pending.items():
            content = files.setdefault(path, bytearray())
            for act in acts:
                _maybe_do(content, act, rng)
        return files


def _do(content: bytearray, act: Act) -> None:
    if act.kind == "truncate":
        del content[act.offset :]
        content.extend(bytes(act.offset - len(content)))
    else:
        content.extend(bytes(max(0, act.offset - len(content))))
        content[act.offset : act.offset + len(act.data)] = act.data


def _maybe_do(content: bytearray, act: Act, rng: random.Random) -> None:
    fate = rng.choice(("kept", "dropped", "torn"))
    if fate == "kept":
        _do(content, act)
    elif fate == "torn":
        for start in range(0, len(act.data), SECTOR_BYTES):
            if rng.random() < 0.5:
                sector = act.data[start : start + SECTOR_BYTES]
                _do(content, Act("write", act.path, act.offset + start, sector))


def power_cuts(folder: Path, times: int) -> Finding:
    """Cut the power `times` times; then show that cuts harm a ledger that does not wait for the disk."""
    tally, complaints = cut(folder, times, "full")
    control, _ = cut(folder, max(20, times // 10), "lax")
    share = control.different / max(1, control.expected)
    if share <= 0.5:
        complaints += (f"the control lost something in only {share:.0%} of its cuts: this proves nothing",)
    return Finding(times, tally, complaints)


def cut(folder: Path, times: int, kind: str) -> tuple[Tally, tuple[str, ...]]:
    """Return what was lost; for the kind `lax`, in how many cuts of how many (`different` of `expected`)."""
    where = SHARED_MEMORY if SHARED_MEMORY.is_dir() else folder
    with tempfile.TemporaryDirectory(dir=where, prefix="promptd-chaos-") as place:
        home = Path(place) / "ledger"
        home.mkdir()
        file = home / "ledger.db"
        acts = trace("chaos.power_child", str(file), str(PROMPTS), kind, file=file)
        return _replay(acts, home, times, is_control=kind == "lax")


def _replay(
    acts: Sequence[Act], home: Path, times: int, *, is_control: bool
) -> tuple[Tally, tuple[str, ...]]:
    rng, disk = random.Random(SEED), Disk()
    first = next(index for index, act in enumerate(acts) if act.kind == "say") if is_control else 0
    moments = Counter(rng.randrange(first, len(acts)) for _ in range(times))
    said: dict[str, set[str]] = {word: set() for word in ACKNOWLEDGED}
    complaints: Counter[str] = Counter()
    expected = lost = harmed = 0
    for index, act in enumerate(acts):
        if act.kind == "say":
            word, name = act.data.decode().split()
            said[word].add(name)
        disk.apply(act)
        for _ in range(moments[index]):
            missing, troubles = _inspect(disk.cut(rng), home, said)
            expected += sum(map(len, said.values()))
            lost += missing
            harmed += bool(missing or troubles)
            complaints.update(troubles)
    if is_control:
        return Tally(expected=times, answered=times - harmed, different=harmed), ()
    words = [f"{count} cuts: {trouble}" for trouble, count in complaints.items()]
    words += [f"{lost} acknowledged rows are missing"] if lost else []
    return Tally(expected=expected, answered=expected - lost), tuple(words)


def _inspect(files: dict[str, bytearray], home: Path, said: dict[str, set[str]]) -> tuple[int, list[str]]:
    """Start on what the cut has left; return how many acknowledged rows are missing, and what else is wrong.

    A start may be clever and begin anew with an empty ledger: the rows tell.
    """
    for old in home.iterdir():
        old.unlink()
    for path, content in files.items():
        Path(path).write_bytes(content)
    file = home / "ledger.db"
    try:
        open_ledger(file).close()
        db = sqlite3.connect(file)
        try:
            (verdict,) = db.execute("PRAGMA integrity_check").fetchone()
            rows = {word: {name for (name,) in db.execute(query)} for word, query in ACKNOWLEDGED.items()}
        finally:
            db.close()
    except (AgentError, sqlite3.Error) as error:
        return sum(map(len, said.values())), [f"the ledger does not open: {error}".replace(str(home), "")]
    troubles = [] if verdict == "ok" else [f"integrity_check: {verdict}"]
    return sum(len(names - rows[word]) for word, names in said.items()), troubles
