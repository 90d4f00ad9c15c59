"""What can be set: checked, frozen, handed down in slices. `settings_file.py` reads it."""

import os
import re
import socket
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from agent.wire.errors import ConfigError
from agent.wire.topics import IDENTIFIER

PREFIX = "PROMPTD_"
LONGEST_PASSWORD_BYTES = 65_535
"""What the field of CONNECT can hold (MQTT 5, 3.1.3.6)."""
PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}

Auto = Literal["auto"]


def _host_name() -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:64]
    return name or "promptd"


def _state_dir() -> Path:
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(given) if given else platformdirs.user_state_path("promptd")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BrokerSettings(_Section):
    """Where the broker is and who we are to it."""

    url: str = "mqtt://127.0.0.1:1883"
    root: str = "promptd"
    username: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    protocol: Literal["5", "3.1.1"] = "5"
    keepalive_s: int = Field(default=20, ge=5, le=1200)
    response_topics: tuple[str, ...] = ()
    """Filters a Response Topic must match; empty means the defaults of the wire contract."""

    @field_validator("password_file", "ca_file", "cert_file", "key_file", mode="before")
    @classmethod
    def _no_path(cls, value: Any) -> Any:  # noqa: ANN401 -- a validator sees what the file holds
        return None if value == "" else value

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError(f"must look like mqtts://broker.example:8883, not {value!r}")
        if parts.username or parts.password:
            raise ValueError("must not hold a user or password; use broker.username and broker.password_file")
        try:
            is_port = parts.port != 0
        except ValueError:
            is_port = False
        if not is_port:
            raise ValueError(f"must name a port from 1 to 65535, if any, not {value!r}")
        return value

    @field_validator("root")
    @classmethod
    def _plain_root(cls, value: str) -> str:
        if not all(IDENTIFIER.fullmatch(level) for level in value.split("/")):
            raise ValueError(
                "must be levels of letters, digits, '_', '.', '-' joined by '/', not starting with '$'"
            )
        return value

    @property
    def scheme(self) -> str:
        """`mqtt`, `mqtts`, `ws` or `wss`."""
        return urlsplit(self.url).scheme

    @property
    def host(self) -> str:
        """Host name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """TCP port, the scheme's usual one by default."""
        return urlsplit(self.url).port or PORTS[self.scheme]

    def password(self) -> str | None:
        """Read the password from its file.

        Raises:
            ConfigError: the file cannot be read, or holds more than MQTT can carry.
        """
        if self.password_file is None:
            return None
        try:
            password = self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"broker.password_file cannot be read as text: {error}") from error
        if len(password.encode()) > LONGEST_PASSWORD_BYTES:
            raise ConfigError(f"broker.password_file: {self.password_file} is too long to be a password")
        return password


class QueueSettings(_Section):
    """How much may wait, and for how long."""

    capacity: int = Field(default=1000, ge=1)
    max_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    """Of all prompts that wait."""
    rate_per_minute: int = Field(default=600, ge=0)
    """New prompts of one requester; 0 does not count them."""
    history_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    """Of the ledger: above it, answered prompts are forgotten before their week is over."""
    max_payload_bytes: int = Field(default=262_144, ge=1024)
    default_timeout_s: int = Field(default=600, ge=1)


class EngineSettings(_Section):
    """Which model, and how it should run."""

    model: str = "demo"
    prefer: str = "auto"
    require: str = ""
    slots: int | Auto = "auto"
    threads: int | Auto = "auto"
    context_length: int | Auto = "auto"
    cache_tokens: int | Auto = "auto"
    """Tokens of prompt beginnings that are kept for later prompts; 0 keeps none."""
    speculation: bool = True
    """Whether next tokens are guessed from the text before, where that pays."""
    socket: Path | None = None
    """Socket of an engine worker that somebody else starts (systemd); by default the agent starts its own."""

    @field_validator("prefer", "require")
    @classmethod
    def _known_variant(cls, value: str) -> str:
        from agent.engines.table import BY_NAME  # noqa: PLC0415 -- keeps the settings free of other rooms

        if value not in ("", "auto", *BY_NAME):
            raise ValueError(f"must be one of {', '.join(BY_NAME)}, not {value!r}")
        return value

    @field_validator("slots", "threads", "context_length")
    @classmethod
    def _positive(cls, value: int | Auto) -> int | Auto:
        if value != "auto" and value < 1:
            raise ValueError(f"must be 'auto' or at least 1, not {value}")
        return value

    @field_validator("cache_tokens")
    @classmethod
    def _not_negative(cls, value: int | Auto) -> int | Auto:
        if value != "auto" and value < 0:
            raise ValueError(f"must be 'auto' or at least 0, not {value}")
        return value


class IdentitySettings(_Section):
    """Who this box is: the certificate that it asks for, renews and keeps by itself."""

    folder: Path | None = None
    """Where its keys and certificates lie; by default `identity` in the state folder."""
    claim_cert_file: Path | None = None
    claim_key_file: Path | None = None
    """With these a box without a certificate asks the provisioning service for its first one."""
    token_file: Path | None = None
    serial: str = ""
    """Which box this is, for the provisioning service; by default what the board says."""
    renew_at: float = Field(default=0.67, ge=0.1, le=0.95)
    """After this share of a certificate's life the next one is asked for."""

    @field_validator("folder", "claim_cert_file", "claim_key_file", "token_file", mode="before")
    @classmethod
    def _no_path(cls, value: Any) -> Any:  # noqa: ANN401 -- a validator sees what the file holds
        return None if value == "" else value


class TelemetrySettings(_Section):
    """How often the box reports."""

    interval_s: float = Field(default=10, gt=0)


class LogSettings(_Section):
    """How log lines look."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(BaseSettings):
    """All settings of one agent."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    device_id: str = Field(default_factory=_host_name)
    state_dir: Path = Field(default_factory=_state_dir)
    broker: BrokerSettings = BrokerSettings()
    identity: IdentitySettings = IdentitySettings()
    queue: QueueSettings = QueueSettings()
    engine: EngineSettings = EngineSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    logs: LogSettings = LogSettings()

    @field_validator("device_id")
    @classmethod
    def _plain_id(cls, value: str) -> str:
        if not IDENTIFIER.fullmatch(value):
            raise ValueError("must be 1 to 64 letters, digits, '_', '.' or '-'")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 -- pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the files, which arrive as keyword arguments."""
        return env_settings, init_settings

    @property
    def identity_dir(self) -> Path:
        """Where the keys and certificates of this box lie."""
        return self.identity.folder or self.state_dir / "identity"
