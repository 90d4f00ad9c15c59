"""The commands of the fleet's operator. Each does its work elsewhere and turns errors into a sentence."""

import sys

import typer

from agent import __version__
from agent.wire.errors import AgentError

app = typer.Typer(
    help="A fleet of promptd boxes: inventory, certificates, broker rules, enrolment.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
def version() -> None:
    """Print the version.

    Example: promptd-fleet version
    """
    typer.echo(__version__)


def _add_commands() -> None:
    from provisioning.commands import enrolment

    app.command()(enrolment.serve)
    app.command()(enrolment.readmit)


def main() -> None:
    """Run the command line; every foreseen error ends as one sentence."""
    _add_commands()
    try:
        app()
    except AgentError as error:
        typer.echo(f"promptd-fleet: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
