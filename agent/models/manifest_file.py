"""`manifest.json` on disk: decoded at the door, so that no unchecked key, name or path travels further in."""

import json
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.models.manifest import Format, Model, ModelFile, ModelVariant, Shape
from agent.models.regular_file import open_regular
from agent.wire.errors import ModelError

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 1024 * 1024
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def plain_identifier(value: str) -> str:
    """Return `value` if it can be a folder name and a topic level.

    Raises:
        ValueError: it holds other characters than letters, digits, '_', '.', '-', or only dots.
    """
    if not _IDENTIFIER.fullmatch(value) or not value.strip("."):
        raise ValueError(f"must be 1 to 64 letters, digits, '_', '.' or '-', not {value[:80]!r}")
    return value


def relative_path(value: str) -> str:
    """Return `value` if it names a place inside the folder it is relative to.

    Raises:
        ValueError: it is empty, absolute, climbs out, or means different places on different systems.
    """
    parts = value.split("/")
    if any(part in ("", ".", "..") for part in parts) or re.search(r'[\\:*?"<>|\x00-\x1f]', value):
        raise ValueError(
            f"must be a path inside the model's folder, with forward slashes, not {value[:80]!r}"
        )
    return value


Identifier = Annotated[str, AfterValidator(plain_identifier)]
RelativePath = Annotated[str, AfterValidator(relative_path)]
Count = Annotated[int, Field(ge=1, le=1 << 31)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FileEntry(_Strict):
    """One file, its size in bytes and its SHA-256."""

    path: RelativePath
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^([0-9a-f]{64})?$")


class VariantEntry(_Strict):
    """One way the weights are stored; the shape may stand in only one variant of a model."""

    id: Identifier
    format: Format
    precision: str
    engines: list[Identifier] = Field(min_length=1)
    layers: Count | None = None
    hidden: Count | None = None
    kv_heads: Count | None = None
    head_dim: Count | None = None
    files: list[FileEntry] = Field(min_length=1)
    repository: str = ""
    revision: str = ""
    """The commit of the repository that the files came from."""


class Manifest(_Strict):
    """A model as `manifest.json` describes it."""

    name: Identifier
    version: int | str = ""
    family: str = ""
    parameters: int | str = ""
    license: str
    context_length: Count
    chat_template: str = ""
    """The name of the template family, for people."""
    made_by: str = ""
    """What built the model, for people."""
    variants: list[VariantEntry] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_a_shape(self) -> Self:
        self.shape()
        if len({variant.id for variant in self.variants}) != len(self.variants):
            raise ValueError("two variants have the same id")
        return self

    def shape(self) -> Shape:
        """Return the numbers of the first variant that has them all."""
        for each in self.variants:
            if each.layers and each.kv_heads and each.head_dim:
                return Shape(each.layers, each.kv_heads, each.head_dim, self.context_length)
        raise ValueError("no variant has layers, kv_heads and head_dim")

    def model(self, folder: Path) -> Model:
        """Return the model whose files lie in `folder`."""
        return Model(
            name=self.name,
            folder=folder,
            license=self.license,
            shape=self.shape(),
            variants=tuple(_variant(entry) for entry in self.variants),
        )


def read_manifest(folder: Path) -> Manifest:
    """Decode the manifest in `folder`; the files it names need not exist yet.

    Raises:
        ModelError: it is missing, not JSON, has unknown keys, or names a path outside the folder.
    """
    path = folder / MANIFEST
    try:
        with open_regular(path) as file:
            raw = file.read(MAX_MANIFEST_BYTES + 1)
        if len(raw) > MAX_MANIFEST_BYTES:
            raise ModelError(f"{path} is larger than {MAX_MANIFEST_BYTES} bytes; install the model again")
        manifest = Manifest.model_validate(json.loads(raw))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}; install the model again") from error
    except ValidationError as error:
        raise ModelError(f"{path}: {_first_fault(error)}; correct it or install the model again") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {error}; install the model again") from error
    _refuse_strangers(folder, manifest)
    return manifest


def _refuse_strangers(folder: Path, manifest: Manifest) -> None:
    home = folder.resolve()
    for file in (file for variant in manifest.variants for file in variant.files):
        place = folder / PurePosixPath(file.path)
        if not place.resolve().is_relative_to(home):
            raise ModelError(f"{place} is a link that leaves {folder}; copy the file into the folder")


def _variant(entry: VariantEntry) -> ModelVariant:
    files = tuple(ModelFile(file.path, file.size_bytes, file.sha256) for file in entry.files)
    return ModelVariant(entry.id, entry.format, entry.precision, tuple(entry.engines), files)


def _first_fault(error: ValidationError) -> str:
    detail: Any = error.errors()[0]
    where = ".".join(str(level) for level in detail["loc"]) or "the manifest"
    if detail["type"] == "extra_forbidden":
        return f"unknown key {where}"
    return f"{where}: {detail['msg'].removeprefix('Value error, ')}"
