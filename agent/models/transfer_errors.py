"""The sentences an operator reads when a model cannot be fetched; each says what to do."""

SIDE_LOAD = "or copy the file or folder here by other means and set engine.model to its path"


def status_of(error: BaseException) -> int:
    """Return the HTTP status that an error carries, or 0."""
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def forbidden_by_setting(name: str) -> str:
    """Explain that the library's offline switch is on."""
    return f"HF_HUB_OFFLINE forbids pulling {name}; unset it, {SIDE_LOAD}"


def gone(repository: str, path: str) -> str:
    """Explain that the hub has the repository but not this part of it."""
    return f"{repository} has no {path} any more; try a newer promptd, {SIDE_LOAD}"


def not_fetched(name: str, repository: str, error: BaseException) -> str:
    """Explain what the hub, or the way to it, refused."""
    status = status_of(error)
    if status in (401, 403):
        return f"the hub refuses to show {repository} ({status}); set HF_TOKEN, {SIDE_LOAD}"
    if status == 404:  # noqa: PLR2004 -- HTTP: Not Found
        return f"the hub has not all of {repository} (404); try a newer promptd, {SIDE_LOAD}"
    cause = f"it answers {status}" if status else f"{type(error).__name__}: {error}"
    return (
        f"cannot fetch {name} from the hub ({cause}); what arrived is kept: pull again when the network "
        f"is back, {SIDE_LOAD}"
    )


def not_written(error: OSError) -> str:
    """Explain that the disk refused."""
    place = f"{error.filename}: " if error.filename else ""
    return f"cannot write {place}{error.strerror or error}; correct that and pull again, what arrived is kept"
