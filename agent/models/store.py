"""The models on this box: finds one by name or path, lists the installed ones, and proves their files.

A model is installed when `<store>/<name>/manifest.json` exists; that file is written last, so whatever it
names was complete and checked when it was written.
"""

import difflib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from agent.models.catalogue import BY_NAME
from agent.models.inspect import inspect_path
from agent.models.manifest import Model, ModelFile
from agent.models.manifest_file import MANIFEST, plain_identifier, read_manifest
from agent.models.soundness import fault_of_file
from agent.wire.errors import ModelError

EMBEDDED = "demo"
CHUNK_BYTES = 4 * 1024 * 1024

Progress = Callable[[str, int, int], None]
"""Called with a file's path and the bytes done and wanted, of all files together."""


def no_progress(_path: str, _done_bytes: int, _total_bytes: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at one file of a model found."""

    path: Path
    fault: str
    """Empty when the file is what the manifest says; else a sentence."""


class Store:
    """A folder with one folder per installed model."""

    def __init__(self, folder: Path, embedded: Path | None = None) -> None:
        self.folder = folder
        self._embedded = embedded or Path(__file__).parent / EMBEDDED

    def resolve(self, name_or_path: str) -> Model:
        """Return the embedded model, an installed one, or what lies at a path; a name never means a path.

        Raises:
            ModelError: nothing of that name or at that path, or it is damaged; the message says what to do.
        """
        if _is_path(name_or_path):
            return _at_path(Path(name_or_path).expanduser())
        if name_or_path == EMBEDDED:
            return read_manifest(self._embedded).model(self._embedded)
        folder = self.folder / _checked(name_or_path)
        if (folder / MANIFEST).is_file():
            return _installed(folder)
        if name_or_path in BY_NAME:
            raise ModelError(f"{name_or_path} is not installed; run: promptd models pull {name_or_path}")
        raise ModelError(self._unknown(name_or_path))

    def installed(self) -> tuple[Model, ...]:
        """Return the models on this box, the embedded one first and the others by name.

        Raises:
            ModelError: a manifest is damaged.
        """
        embedded = [self._embedded] if (self._embedded / MANIFEST).is_file() else []
        return tuple(_installed(folder) for folder in (*embedded, *self._folders()))

    @staticmethod
    def verify(model: Model, progress: Progress = no_progress) -> tuple[Finding, ...]:
        """Compare size and SHA-256 of every file with the manifest; read every GGUF header and ONNX graph.

        Where nobody has measured a digest, only the size is compared.
        """
        wanted = [file for variant in model.variants for file in variant.files]
        total_bytes, done_bytes = sum(file.size_bytes for file in wanted), 0
        findings = []
        for file in wanted:

            def tell(read_bytes: int, path: str = file.path, before_bytes: int = done_bytes) -> None:
                progress(path, before_bytes + read_bytes, total_bytes)

            path = model.folder / PurePosixPath(file.path)
            findings.append(Finding(path, _fault(path, file, tell)))
            done_bytes += file.size_bytes
        return tuple(findings)

    def _folders(self) -> Iterator[Path]:
        if self.folder.is_dir():
            yield from sorted(path.parent for path in self.folder.glob(f"*/{MANIFEST}"))

    def _unknown(self, name: str) -> str:
        known = [EMBEDDED, *(folder.name for folder in self._folders()), *BY_NAME]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        return f"no model is called {name!r}; {hint} A file or folder needs a path with '/'"


def _installed(folder: Path) -> Model:
    manifest = read_manifest(folder)
    if manifest.name != folder.name:
        raise ModelError(f"{folder} holds the model {manifest.name}; rename the folder to that")
    return manifest.model(folder)


def _is_path(name_or_path: str) -> bool:
    return "/" in name_or_path or "\\" in name_or_path or name_or_path.lower().endswith(".gguf")


def _at_path(path: Path) -> Model:
    if (path / MANIFEST).is_file():
        return read_manifest(path).model(path)
    return inspect_path(path)


def _checked(name: str) -> str:
    try:
        return plain_identifier(name)
    except ValueError as error:
        raise ModelError(f"the name of a model {error}") from error


def _fault(path: Path, file: ModelFile, tell: Callable[[int], None]) -> str:
    if not path.is_file():
        return "is missing; install the model again"
    try:
        return _size_fault(path, file) or _digest_fault(path, file, tell) or fault_of_file(path)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}; correct that or install the model again"


def _size_fault(path: Path, file: ModelFile) -> str:
    size_bytes = path.stat().st_size
    if size_bytes != file.size_bytes:
        return f"has {size_bytes} bytes instead of {file.size_bytes}; install the model again"
    return ""


def _digest_fault(path: Path, file: ModelFile, tell: Callable[[int], None]) -> str:
    if not file.sha256:
        return ""
    digest, read_bytes = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            read_bytes += len(chunk)
            tell(read_bytes)
    if digest.hexdigest() != file.sha256:
        return f"has SHA-256 {digest.hexdigest()} instead of {file.sha256}; install the model again"
    return ""
