"""Reads the settings once: a TOML file, what came with the certificate, and `PROMPTD_*` variables."""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from agent.host.durable import replace_durably
from agent.settings import PREFIX, Settings
from agent.wire.errors import ConfigError

DEFAULT_FILE = Path("/etc/promptd/promptd.toml")
PROVISIONED = "provisioned.toml"
"""In the state folder: what the provisioning service has sent."""


def load(file: Path | None = None, *, context_length: int | None = None) -> Settings:
    """Read the settings from `file` (by default the system's), the provisioning service, and the environment.

    The later wins, key by key. `context_length` comes from the command line and wins over all.

    Raises:
        ConfigError: a file is missing or not TOML, a key is unknown, or a value is out of range.
    """
    own = load_own(file)
    sent = own.state_dir / PROVISIONED
    # Unlike Path.is_file, False in a folder that is closed to us.
    settings = _with(file, _read(sent), sent) if os.path.isfile(sent) else own  # noqa: PTH113
    if context_length is None:
        return settings
    engine = settings.engine.model_copy(update={"context_length": context_length})
    return settings.model_copy(update={"engine": engine})


def load_own(file: Path | None = None) -> Settings:
    """Read what this box was given by hand: `load` without what the provisioning service has sent.

    Raises:
        ConfigError: as `load`.
    """
    path = _path(file)
    _check_variables()
    return _settings(_read(path) if path else {}, path)


def provision(text: str, file: Path | None = None) -> Settings:
    """Keep what the provisioning service has sent, so that a power cut leaves the old or the new; return all.

    Raises:
        ConfigError: this box could not start with it, so that nothing was kept; or it cannot be written.
    """
    own = load_own(file)
    sent = own.state_dir / PROVISIONED
    settings = _with(file, _parsed(text, "what the provisioning service sent"), sent)
    if (settings.state_dir, settings.identity_dir) != (own.state_dir, own.identity_dir):
        raise ConfigError("the provisioning service must not move state_dir or identity.folder of this box")
    try:
        replace_durably(sent, text.encode())
    except OSError as error:
        raise ConfigError(f"cannot write {sent}: {error.strerror}; check state_dir") from error
    return settings


def _with(file: Path | None, over: dict[str, Any], sent: Path) -> Settings:
    path = _path(file)
    return _settings(_overlaid(_read(path) if path else {}, over), sent)


def _path(file: Path | None) -> Path | None:
    return file or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)


def _settings(table: dict[str, Any], path: Path | None) -> Settings:
    try:
        return Settings(**table)
    except SettingsError as error:
        raise ConfigError(f"a PROMPTD_ variable cannot be understood: {error}; lists are JSON") from error
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(detail, path) for detail in error.errors())) from error


def _overlaid(table: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return both tables in one; of a key that stands in both, the value of `over`."""
    both = [
        name for name, value in over.items() if isinstance(value, dict) and isinstance(table.get(name), dict)
    ]
    return {**table, **over, **{name: {**table[name], **over[name]} for name in both}}


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    return _parsed(text, str(path))


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}") from error


def _sentence(detail: Any, path: Path | None) -> str:  # noqa: ANN401 -- pydantic's ErrorDetails
    levels = [str(level) for level in detail["loc"]]
    name, where = ".".join(levels), f" in {path}" if path else ""
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, _known_keys(), n=1, cutoff=0.5)
        return f"unknown setting {name}{where}" + (f"; did you mean {near[0]}?" if near else "")
    return f"{name}{where}: {detail['msg'].removeprefix('Value error, ')}"


def _check_variables() -> None:
    """Refuse a variable with a misspelt first level, which would otherwise be ignored in silence."""
    for variable in os.environ:
        if variable.upper().startswith(PREFIX):
            name = variable[len(PREFIX) :].split("__")[0].lower()
            if name not in Settings.model_fields:
                near = difflib.get_close_matches(name, Settings.model_fields, n=1, cutoff=0.5)
                rest = variable[len(PREFIX) + len(name) :].upper()
                hint = f"; did you mean {PREFIX}{near[0].upper()}{rest}?" if near else ""
                raise ConfigError(f"unknown variable {variable}{hint}")


def _known_keys() -> list[str]:
    keys: list[str] = []
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            keys += [name]
            keys += [f"{name}.{key}" for key in section.model_fields]
        else:
            keys.append(name)
    return keys
