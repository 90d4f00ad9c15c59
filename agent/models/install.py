"""Where a variant is gathered file by file, and the one moment at which it becomes part of the store.

Files lie in `<store>/.staging/<model>/<variant>/<commit>/` until all of them are checked. Then the folder is
renamed into the model's folder, and `manifest.json` is replaced last: a power cut leaves the old or the new.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.hardware.sizes import readable
from agent.models.catalogue import CatalogueEntry, CatalogueVariant
from agent.models.digests import measure
from agent.models.manifest_file import MANIFEST, FileEntry, Manifest, VariantEntry, read_manifest
from agent.wire.errors import ModelError


@dataclass(frozen=True, slots=True)
class WantedFile:
    """One file of a variant, as its source lists it."""

    path: str
    """In the source."""
    size_bytes: int
    digest: str
    """SHA-256 or git's SHA-1, told apart by their lengths."""

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.rpartition("/")[2]


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that `folder` is on."""
    return shutil.disk_usage(folder).free


class Staging:
    """The folder in which one variant at one commit is gathered."""

    def __init__(self, store: Path, entry: CatalogueEntry, variant: CatalogueVariant, revision: str) -> None:
        self._home = store / entry.name
        self._entry = entry
        self._variant = variant
        self._revision = revision
        self._final_name = f"{variant.id}-{revision[:12]}"
        staging = store / ".staging" / entry.name
        self.lock_file = staging / ".lock"
        self.folder = staging / variant.id / revision[:12]
        self.folder.mkdir(parents=True, exist_ok=True)

    def is_installed(self, wanted: Sequence[WantedFile]) -> bool:
        """Return whether the manifest already names these files of this commit, and they exist."""
        if not (self._home / MANIFEST).is_file():
            return False
        present = next((v for v in read_manifest(self._home).variants if v.id == self._variant.id), None)
        if present is None or present.revision != self._revision:
            return False
        sizes = {self._home / self._final_name / file.name: file.size_bytes for file in wanted}
        is_whole = all(path.is_file() and path.stat().st_size == size for path, size in sizes.items())
        return is_whole and {self._home / file.path for file in present.files} == sizes.keys()

    def forget_other_commits(self) -> None:
        """Delete what was gathered of an older state of the repository."""
        for folder in self.folder.parent.iterdir():
            if folder != self.folder:
                shutil.rmtree(folder)

    def refuse_without_room(self, wanted: Sequence[WantedFile], room_bytes: int) -> None:
        """Compare what has yet to arrive with the free disk.

        Raises:
            ModelError: there is too little room; the message has both sizes.
        """
        missing_bytes = sum(max(0, file.size_bytes - self.kept_bytes(file)) for file in wanted)
        if missing_bytes > room_bytes:
            raise ModelError(
                f"{self._entry.name} needs {readable(missing_bytes)} more in {self.folder}, "
                f"but {readable(room_bytes)} are free; free some space, or set state_dir to another disk"
            )

    def kept_bytes(self, file: WantedFile) -> int:
        """Return how much of a file an earlier attempt left here."""
        path = self.folder / file.name
        return path.stat().st_size if path.is_file() else 0

    def check(self, file: WantedFile) -> FileEntry:
        """Compare what arrived with what the source lists, and make sure that it is on the disk.

        Raises:
            ModelError: the digest is wrong; the file is deleted, because no part of it can be trusted.
        """
        path = self.folder / file.name
        found = measure(path)
        if found.size_bytes != file.size_bytes or file.digest not in (found.sha256, found.git_sha1):
            path.unlink()
            raise ModelError(
                f"{file.path} arrived with another digest than {file.digest} and was deleted; "
                "run the pull again, and if it repeats, suspect the network between here and the hub"
            )
        _flush(path)
        entry = f"{self._final_name}/{file.name}"
        return FileEntry(path=entry, size_bytes=found.size_bytes, sha256=found.sha256)

    def install(self, files: Sequence[FileEntry]) -> None:
        """Move the gathered files into the model's folder and name them in its manifest."""
        final = self._home / self._final_name
        self._home.mkdir(exist_ok=True)
        if final.exists():  # damaged or left behind before its manifest was written
            shutil.rmtree(final)
        _flush(self.folder)
        self.folder.rename(final)
        replaced = self._write_manifest(files)
        for folder in replaced - {final, self._home}:
            shutil.rmtree(folder, ignore_errors=True)

    def _write_manifest(self, files: Sequence[FileEntry]) -> set[Path]:
        """Replace the manifest; return the folders that only the old one named."""
        is_known = (self._home / MANIFEST).is_file()
        old = list(read_manifest(self._home).variants) if is_known else []
        kept = [variant for variant in old if variant.id != self._variant.id]
        manifest = self._manifest([*kept, self._described(files)])
        new = self._home / f"{MANIFEST}.new"
        new.write_text(manifest.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
        _flush(new)
        new.replace(self._home / MANIFEST)
        _flush(self._home)
        gone = [file for variant in old if variant.id == self._variant.id for file in variant.files]
        return {(self._home / file.path).parent for file in gone}

    def _manifest(self, variants: list[VariantEntry]) -> Manifest:
        return Manifest(
            name=self._entry.name,
            family=self._entry.family,
            parameters=self._entry.parameters,
            license=self._entry.license,
            context_length=self._entry.shape.context_length,
            variants=variants,
        )

    def _described(self, files: Sequence[FileEntry]) -> VariantEntry:
        variant, shape = self._variant, self._entry.shape
        return VariantEntry(
            id=variant.id,
            format=variant.format,
            precision=variant.precision,
            engines=list(variant.engines),
            layers=shape.layers,
            hidden=self._entry.hidden,
            kv_heads=shape.kv_heads,
            head_dim=shape.head_dim,
            files=list(files),
            repository=variant.repository,
            revision=self._revision,
        )


def _flush(path: Path) -> None:
    """Make a file or the names in a folder survive a power cut."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders; it keeps their names by its own journal
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
