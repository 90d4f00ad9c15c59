"""What `promptd calibrate` measured, on disk: checked at the door, written whole, never a reason to fail.

A record counts only for the hardware, the model, the threads and the library it was measured with. Others
stay in the file: a model that comes back need not be measured again.
"""

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.engines.options import Speeds
from agent.engines.table import BY_NAME, Row
from agent.hardware.facts import Facts, Packages
from agent.hardware.obstacles import RUNTIMES
from agent.models.manifest import Model

LOG = structlog.get_logger("promptd.calibration")

FILE_NAME = "calibration.json"
MAX_FILE_BYTES = 4 * 1024 * 1024

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Key(_Strict):
    """What has to be the same for a measurement to count."""

    fingerprint: str
    """Of the hardware."""
    model: str
    """SHA-256 of the variant's first file, or name and size where nobody knows it."""
    variant: str
    threads: Count
    library: str
    """The packages that compute, with their versions."""


class Record(_Strict):
    """One measurement."""

    key: Key
    measured_at: datetime
    prefill_tokens_per_s: Positive
    step_ms: tuple[tuple[Count, Positive], ...] = Field(min_length=1)

    @property
    def speeds(self) -> Speeds:
        """The measured speeds, as engines and judges take them."""
        return Speeds(self.prefill_tokens_per_s, tuple(sorted(self.step_ms)))


class _File(_Strict):
    version: Literal[1] = 1
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Bench:
    """What measurements of this moment belong to."""

    facts: Facts
    model: Model
    threads: int

    def key(self, variant: str) -> Key:
        """Return under which key a measurement of this variant is kept."""
        stored = self.model.variant_for(variant)
        digest = stored.files[0].sha256 if stored else ""
        size_bytes = stored.size_bytes if stored else 0
        return Key(
            fingerprint=self.facts.fingerprint,
            model=digest or f"{self.model.name}, {size_bytes} bytes",
            variant=variant,
            threads=self.threads,
            library=_library(BY_NAME[variant], self.facts.packages),
        )


class Calibration:
    """The file of measurements."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE_NAME

    def speeds(self, bench: Bench) -> dict[str, Speeds]:
        """Return what was measured under the present circumstances, by variant."""
        records = {record.key: record.speeds for record in self._read()}
        found = {variant: records.get(bench.key(variant)) for variant in BY_NAME}
        return {variant: speeds for variant, speeds in found.items() if speeds}

    def remember(self, bench: Bench, measured: dict[str, Speeds]) -> None:
        """Add measurements; they replace earlier ones of the same circumstances.

        Raises:
            OSError: the file cannot be written.
            ValueError: a speed is not a positive number.
        """
        new = [_record(bench.key(variant), speeds) for variant, speeds in measured.items()]
        keys = {record.key for record in new}
        self._write([*(record for record in self._read() if record.key not in keys), *new])

    def _read(self) -> tuple[Record, ...]:
        try:
            with self._path.open("rb") as stream:
                # Cut off at the limit it is no JSON any more, and is reported as such.
                return _File.model_validate_json(stream.read(MAX_FILE_BYTES)).records
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            reason = _first_line(error)
            LOG.warning("calibration_ignored", file=str(self._path), reason=reason, hint="promptd calibrate")
            return ()

    def _write(self, records: Iterable[Record]) -> None:
        """Put a new file in the place of the old one, so that a power cut leaves one of the two."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=FILE_NAME, dir=self._path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(_File(records=tuple(records)).model_dump_json(indent=2))
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(self._path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def _record(key: Key, speeds: Speeds) -> Record:
    return Record(
        key=key,
        measured_at=datetime.now(UTC),
        prefill_tokens_per_s=speeds.prefill_tokens_per_s,
        step_ms=speeds.step_ms,
    )


def _library(row: Row, packages: Packages) -> str:
    wanted = {*row.distributions, *(RUNTIMES.get(row.device, ()) if row.library != "llama_cpp" else ())}
    return ", ".join(f"{name} {version}" for name, version in packages.versions if name in wanted)


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        detail = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(level) for level in detail['loc'])}: {detail['msg']}".lstrip(": ")
    return str(error)
