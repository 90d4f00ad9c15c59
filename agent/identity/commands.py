"""`promptd identity`: who this box is, and a certificate by hand or by SSH: request, carry, accept."""

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from agent import settings_file as configuration
from agent.host.board_serial import board_serial
from agent.host.lock import hold
from agent.identity.pair import Pair, Pairs
from agent.settings import Settings
from agent.wire.certificates import CertificateReply
from agent.wire.errors import AgentError, ConfigError

app = typer.Typer(name="identity", help="The certificate of this box.", no_args_is_help=True)

Config = Annotated[Path | None, typer.Option("--config", help="The configuration file.")]
HERE = "-"


@app.command()
def show(*, config: Config = None, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show the serial number of this box, and whose certificate it has for how long.

    Example: promptd identity show --json
    """
    settings = configuration.load(config)
    facts = _facts(settings)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        typer.echo(f"{key:<12} {'none' if value in ('', None) else value}")


@app.command()
def request(
    name: Annotated[str, typer.Option("--name", help="The name of this device in the inventory.")],
    config: Config = None,
) -> None:
    """Make a key on this box and print the request for its certificate; the key never leaves the box.

    Again, it prints the same request, until its certificate was accepted.

    Example: promptd identity request --name box-3 > box-3.csr
    """
    from agent.identity.request import Pending  # noqa: PLC0415 -- brings cryptography in

    settings = configuration.load(config)
    typer.echo(Pending(settings.identity_dir, name).pem(), nl=False)


@app.command()
def accept(
    reply: Annotated[str, typer.Argument(help="What `promptd-fleet sign` printed; '-' reads it here.")],
    config: Config = None,
) -> None:
    """Take the certificate, and the settings that came along; promptd must be stopped for it.

    Example: promptd identity accept reply.json
    """
    pair = _accept(_reply(reply), config)
    typer.echo(f"this box is {pair.name} until {pair.not_after:%Y-%m-%d}; start promptd")


def _accept(reply: CertificateReply, config: Path | None) -> Pair:
    """Take what was handed out, while promptd rests.

    Raises:
        ConfigError: promptd runs, or the settings do not fit this box.
        AgentError: the certificate is not made for the key of this box.
    """
    from agent.identity.request import Pending  # noqa: PLC0415 -- brings cryptography in

    own = configuration.load_own(config)
    with hold(own.state_dir / "lock"):
        return Pending(own.identity_dir).accept(
            Pairs(own.identity_dir),
            reply,
            lambda settings: configuration.provision(settings, config),
            "mend promptd.toml, or ask with the other name",
        )


def _reply(source: str) -> CertificateReply:
    try:
        text = sys.stdin.read() if source == HERE else Path(source).read_text(encoding="utf-8")
        reply = CertificateReply.model_validate_json(text)
    except PermissionError as error:  # we may be the service's user, and the file in the home of root
        raise ConfigError(
            f"cannot read {source} ({error.strerror}); give it on the standard input: "
            f"promptd identity accept - < {source}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {source} as text: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"{source} is no reply of promptd-fleet; carry it here again, unchanged") from error
    if not reply.accepted:
        reason = next((each.reason for each in reply.verdicts if not each.passed), "no reason was given")
        raise AgentError(f"the request was refused: {reason}")
    return reply


def _facts(settings: Settings) -> dict[str, Any]:
    pair = Pairs(settings.identity_dir).current
    facts: dict[str, Any] = {
        "device_id": settings.device_id,
        "serial": settings.identity.serial or board_serial(),
        "certificate": pair.name if pair else None,
    }
    if pair is None:
        return facts
    now = dt.datetime.now(dt.UTC)
    return facts | {
        "number": f"{pair.serial_number:x}",
        "not_before": pair.not_before.isoformat(),
        "not_after": pair.not_after.isoformat(),
        "is_valid": pair.is_valid(now),
        "days_left": round((pair.not_after - now) / dt.timedelta(days=1), 2),
    }
