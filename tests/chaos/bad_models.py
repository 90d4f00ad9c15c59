"""Models that are not what their manifest says (G24): native code must never see one, or never serve with it.

Most tries ask the guard of a start alone, on random bits; some start a real engine, and swap the file when it
is about to be loaded; some start the whole agent.
"""

import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from rig.mosquitto import mosquitto_in

from agent.engines.options import EngineOptions
from agent.models.guard import ModelGuard
from agent.models.manifest import Model
from agent.models.store import EMBEDDED, Store
from agent.wire.errors import EngineError
from agent.wire.replies import EngineBadge
from agent.worker.process import Worker, spawn
from agent.worker.start import Candidate, start
from chaos.device import Device
from chaos.links import CONFIGURATION
from chaos.tally import Finding, Tally

ENGINE, WEIGHTS = "gguf-cpu", Path("gguf-q8_0", "promptd-demo.q8_0.gguf")
AGENT_EVERY, SWAP_EVERY = 100, 20
"""Of so many tries, one takes the whole agent, or a real engine."""
PATIENCE_S = 60.0


@dataclass(slots=True)
class Copy:
    """A model of our own, as a pull leaves it, and one like it with other weights."""

    folder: Path
    older: Path = field(init=False)
    """Another version, as sound as this one."""
    rng: random.Random = field(default_factory=lambda: random.Random(24))

    def __post_init__(self) -> None:
        shutil.copytree(_embedded(), self.folder)
        self.older = self.folder / "older"
        shutil.copy2(self.weights, self.older)
        _flip(self.older, self.older.stat().st_size - 1, 0)

    @property
    def model(self) -> Model:
        """Find it as a start does."""
        return Store(self.folder.parent).resolve(f"{self.folder}/")

    @property
    def weights(self) -> Path:
        """The file that native code reads."""
        return self.folder / WEIGHTS

    @property
    def candidate(self) -> Candidate:
        """Return the way to run it, as the agent would."""
        model = self.model
        variant = model.variant_for(ENGINE)
        assert variant
        options = EngineOptions(ENGINE, self.weights, threads=1, slots=1, context_length=64)
        return Candidate(options, EngineBadge(ENGINE, model.name, ""), ModelGuard(model, variant))

    def flip(self) -> str:
        """Flip one bit anywhere; return where."""
        offset, bit = self.rng.randrange(self.weights.stat().st_size), self.rng.randrange(8)
        _flip(self.weights, offset, bit)
        return f"bit {bit} of byte {offset}"

    def swap(self) -> None:
        """Put another version in the place of this one at once, as a deployment would."""
        following = self.folder / "next"
        shutil.copy2(self.older, following)
        following.replace(self.weights)

    def mend(self) -> None:
        """Make it whole again."""
        shutil.copy2(_embedded() / WEIGHTS, self.weights)


def _embedded() -> Path:
    return Store(Path()).resolve(EMBEDDED).folder


def _flip(path: Path, offset: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def bad_models(folder: Path, times: int) -> Finding:
    """Flip one bit, or swap the file for another version, in every try."""
    copy = Copy(folder / "demo")
    complaints = []
    for number in range(times):
        if taken := _try(folder, copy, number):
            complaints.append(taken)
        copy.mend()
    return Finding(times, Tally(times, times - len(complaints)), tuple(complaints))


def _try(folder: Path, copy: Copy, number: int) -> str:
    """Return what was not refused; empty when all is well."""
    if number % AGENT_EVERY == 0:
        return _agent(folder, copy)
    match number % SWAP_EVERY:
        case 1:
            return _swapped(copy)
        case 2:
            return _older(copy)
        case _:
            return _flipped(copy)


def _flipped(copy: Copy) -> str:
    where = copy.flip()
    return "" if copy.candidate.guard.admit(lambda: None) else f"{where} was flipped, and nobody noticed"


def _older(copy: Copy) -> str:
    """Put a sound file of another version in the place of this one."""
    shutil.copy2(copy.older, copy.weights)
    refusal = copy.candidate.guard.admit(lambda: None)
    return "" if refusal else "another version was taken"


def _swapped(copy: Copy) -> str:
    """Swap the file when it has been checked and is about to be loaded."""

    def open_worker() -> Worker:
        copy.swap()
        return spawn()

    try:
        start(copy.candidate, open_worker)
    except EngineError as error:
        return "" if "while it was loaded" in str(error) else f"a swapped file was refused as: {error}"
    return "a file that was swapped after its check is served"


def _agent(folder: Path, copy: Copy) -> str:
    """Start the agent, which must use this model, on a damaged one."""
    where = copy.flip()
    engine = {"model": f"{copy.folder}/", "require": ENGINE, "context_length": 512}
    with (
        mosquitto_in(folder) as broker,
        Device(folder / "agent", broker.url, {"engine": engine}) as device,
    ):
        device.wait_for_end(PATIENCE_S)
        is_refused = device.exit_code == CONFIGURATION and device.count("engine.require") > 0
        ending = f"{device.exit_code}: {device.last_words}"
    return "" if is_refused else f"{where} was flipped, and the agent ended with {ending}"
