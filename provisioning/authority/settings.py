"""Which authority signs."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class AuthoritySettings(BaseModel):
    """Which authority signs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["own", "files", "command", "est"] = "own"
