"""Which authority signs, and how it is reached."""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

NEEDED = {
    "own": (),
    "files": ("certificate_file", "key_file"),
    "command": ("command", "authorities_file"),
    "est": ("url",),
}
OPTIONAL = {
    "own": ("passphrase_file",),
    "files": ("passphrase_file", "authorities_file"),
    "command": (),
    "est": ("ca_file", "certificate_file", "key_file", "username", "password_file", "authorities_file"),
}


class AuthoritySettings(BaseModel):
    """The section `authority` of the inventory. Relative paths begin at the folder of the authority."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["own", "files", "command", "est"] = "own"
    days: float = Field(default=365, gt=0, le=3650)
    """Life of a certificate. Devices renew at two thirds of it: the rest is how long one may be away."""
    backdate_s: float = Field(default=3600, ge=0, le=7 * 86_400)
    """So much earlier than now a certificate begins, for boxes whose clock is behind (`own`, `files`)."""
    passphrase_file: Path | None = None
    """Of the issuing key; without it the credential `authority-passphrase` of systemd, or the terminal."""
    certificate_file: Path | None = None
    """`files`: the issuing certificate with the chain to its root, PEM. `est`: what we show to the server."""
    key_file: Path | None = None
    authorities_file: Path | None = None
    """Whom devices shall trust, PEM; `files` and `est` know it by default: the root of their chain."""
    command: tuple[str, ...] = ()
    """Reads a request (PEM) and prints the chain; `{name}`, `{role}` and `{hours}` are filled in."""
    url: str = ""
    """Of the EST server, such as https://est.example:8443 or https://est.example/.well-known/est/devices."""
    ca_file: Path | None = None
    """Whom to trust as the EST server's authority; without it the system's authorities."""
    username: str = ""
    password_file: Path | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if missing := [name for name in NEEDED[self.kind] if not getattr(self, name)]:
            raise ValueError(f"an authority of kind {self.kind!r} needs {' and '.join(missing)}")
        allowed = {"kind", "days", "backdate_s", *NEEDED[self.kind], *OPTIONAL[self.kind]}
        if foreign := sorted(self.model_fields_set - allowed):
            raise ValueError(
                f"an authority of kind {self.kind!r} has no {' and no '.join(foreign)}; remove it"
            )
        if bool(self.username) != bool(self.password_file):
            raise ValueError("username and password_file belong together; set both or neither")
        if self.kind == "est":
            self._check_est()
        return self

    def _check_est(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.hostname or parts.username:
            raise ValueError(f"url must look like https://est.example:8443, not {self.url!r}")
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("certificate_file and key_file belong together; set both or neither")
        if not self.certificate_file and not self.username:
            raise ValueError(
                "an EST server wants to know who asks; set certificate_file and key_file, or username"
            )
