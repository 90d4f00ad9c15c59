"""Fetches a catalogue model from the hub into the store; the only file that knows `huggingface_hub`.

The library lists the files. The bytes are streamed here, because its own download begins again from zero
after an interruption (huggingface_hub issue 4196). A file keeps what arrived, and only its digest is trusted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent import __version__
from agent.models.catalogue import CatalogueEntry, CatalogueVariant
from agent.models.genai_config import GENAI_CONFIG
from agent.models.install import Staging, WantedFile, free_bytes
from agent.models.manifest import Model
from agent.models.manifest_file import FileEntry, relative_path
from agent.models.patience import Patience
from agent.models.store import Progress, Store, no_progress
from agent.models.transfer_errors import forbidden_by_setting, gone, not_fetched, not_written, status_of
from agent.wire.errors import ModelError

TIMEOUT_S = 30
"""Silence on a connection that counts as broken."""
PARTIAL_CONTENT = 206
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


def pull(
    entry: CatalogueEntry,
    engine: str,
    store: Store,
    *,
    endpoint: str | None = None,
    token: str | None = None,
    progress: Progress = no_progress,
    patience: Patience | None = None,
    free: Callable[[Path], int] = free_bytes,
) -> Model:
    """Fetch what `engine` runs, check every digest, and install it; a broken pull goes on where it stopped.

    `endpoint` and `token` default to what the library takes from HF_ENDPOINT and HF_TOKEN.

    Raises:
        ModelError: no such variant, no room, no network or no permission, or a wrong digest.
    """
    variant = entry.variant_for(engine)
    if variant is None:
        known = ", ".join(name for each in entry.variants for name in each.engines)
        raise ModelError(f"{entry.name} has nothing for {engine}; choose one of {known}")
    hub = _Hub(variant.repository, endpoint, token, patience or Patience())
    with hub.plain_errors(entry.name):
        revision, wanted = hub.files(variant)
        staging = Staging(store.folder, entry, variant, revision)
        with hub.alone(staging.lock_file):
            staging.forget_other_commits()
            if not staging.is_installed(wanted):
                staging.refuse_without_room(wanted, free(staging.folder))
                staging.install(tuple(_fetched(hub, staging, revision, wanted, progress)))
    return store.resolve(entry.name)


def _fetched(
    hub: "_Hub", staging: Staging, revision: str, wanted: tuple[WantedFile, ...], progress: Progress
) -> Iterator[FileEntry]:
    total_bytes, done_bytes = sum(file.size_bytes for file in wanted), 0
    for file in wanted:

        def tell(arrived_bytes: int, name: str = file.name, before_bytes: int = done_bytes) -> None:
            progress(name, before_bytes + arrived_bytes, total_bytes)

        hub.fetch(file, revision, staging.folder / file.name, tell)
        yield staging.check(file)
        done_bytes += file.size_bytes


class _Hub:
    """One repository on the hub, at one endpoint."""

    def __init__(self, repository: str, endpoint: str | None, token: str | None, patience: Patience) -> None:
        import huggingface_hub  # noqa: PLC0415 -- slow to import, and only a pull needs it
        from huggingface_hub import constants, errors, utils  # noqa: PLC0415 -- same reason

        # Otherwise the library fetches a list of coding agents and sends the one it recognises, if any.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        self._library, self._errors = huggingface_hub, errors
        self._utils: Any = utils  # its lazy names are documented, but not visible to a type checker
        # Whichever HTTP client the library uses (httpx, httpx2), this is the root of its errors.
        self._http_error: type[Exception] = errors.HfHubHTTPError.__bases__[0]
        self._repository = repository
        self._endpoint = endpoint
        self._token = token
        self._patience = patience

    def files(self, variant: CatalogueVariant) -> tuple[str, tuple[WantedFile, ...]]:
        """Return the repository's commit and the variant's files, the one an engine is given first."""
        api = self._library.HfApi(self._endpoint, library_name="promptd", library_version=__version__)
        # A box without a network should hear so soon; nothing is lost by asking again later.
        short = replace(self._patience, attempts=min(3, self._patience.attempts))
        info = short.keep_trying(
            lambda: api.model_info(
                self._repository, files_metadata=True, timeout=TIMEOUT_S, token=self._token
            ),
            self._is_passing,
        )
        wanted = []
        for each in info.siblings or []:
            if variant.path in (each.rfilename, each.rfilename.rpartition("/")[0]):
                size, digest = (each.lfs.size, each.lfs.sha256) if each.lfs else (each.size, each.blob_id)
                wanted.append(WantedFile(_checked(each.rfilename), size or 0, digest or ""))
        if not wanted or not info.sha:
            raise ModelError(gone(self._repository, variant.path))
        return info.sha, tuple(sorted(wanted, key=lambda file: (file.name != GENAI_CONFIG, file.path)))

    def fetch(self, file: WantedFile, revision: str, path: Path, tell: Callable[[int], None]) -> None:
        """Bring `path` to its full size, going on where an earlier attempt stopped."""
        if path.exists() and path.stat().st_size > file.size_bytes:
            path.unlink()
        path.touch()
        self._patience.keep_trying(
            lambda: self._stream(file, revision, path, tell), self._is_passing, growing=path
        )

    def _stream(self, file: WantedFile, revision: str, path: Path, tell: Callable[[int], None]) -> None:
        arrived_bytes = path.stat().st_size
        tell(arrived_bytes)
        if arrived_bytes == file.size_bytes:
            return
        url = self._library.hf_hub_url(
            self._repository, file.path, revision=revision, endpoint=self._endpoint
        )
        headers = self._headers(arrived_bytes)
        session = self._library.get_session()
        with session.stream(
            "GET", url, headers=headers, timeout=TIMEOUT_S, follow_redirects=True
        ) as response:
            self._utils.hf_raise_for_status(response)
            is_continued = response.status_code == PARTIAL_CONTENT
            arrived_bytes = arrived_bytes if is_continued else 0
            with path.open("ab" if is_continued else "wb") as out:
                for chunk in response.iter_bytes():  # a wished chunk size would lose what a cut leaves in it
                    out.write(chunk)
                    arrived_bytes += len(chunk)
                    tell(arrived_bytes)
                    if arrived_bytes > file.size_bytes:  # the digest will be wrong; no need to fill the disk
                        return
        if arrived_bytes < file.size_bytes:
            raise ConnectionError(f"{file.path} ended after {arrived_bytes} of {file.size_bytes} bytes")

    def _headers(self, arrived_bytes: int) -> dict[str, str]:
        headers: dict[str, str] = self._utils.build_hf_headers(
            token=self._token, library_name="promptd", library_version=__version__
        )
        # A compressed answer has other offsets than the file, so a range of it could not be continued.
        headers["Accept-Encoding"] = "identity"
        if arrived_bytes:
            headers["Range"] = f"bytes={arrived_bytes}-"
        return headers

    def _is_passing(self, error: BaseException) -> bool:
        status = status_of(error)
        if status or isinstance(error, self._errors.OfflineModeIsEnabled):
            return status in PASSING
        return isinstance(error, self._http_error | ConnectionError)

    @contextmanager
    def alone(self, lock_file: Path) -> Iterator[None]:
        """Keep a second pull of the same files out."""
        try:
            with self._utils.WeakFileLock(lock_file, timeout=1):
                yield
        except TimeoutError as error:
            raise ModelError("another pull of this model is running; wait until it ends") from error

    @contextmanager
    def plain_errors(self, name: str) -> Iterator[None]:
        """Turn what the library and the network raise into sentences that say what to do."""
        try:
            yield
        except self._errors.OfflineModeIsEnabled as error:
            raise ModelError(forbidden_by_setting(name)) from error
        except (self._http_error, ConnectionError) as error:
            raise ModelError(not_fetched(name, self._repository, error)) from error
        except OSError as error:
            raise ModelError(not_written(error)) from error


def _checked(path: str) -> str:
    try:
        return relative_path(path)
    except ValueError as error:
        raise ModelError(f"the hub lists a file whose path {error}; do not use this repository") from error
