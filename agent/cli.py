"""The commands. Each one reads its settings, does its work elsewhere, and turns errors into a sentence."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agent import __version__
from agent.settings import Settings
from agent.settings_file import load
from agent.wire.errors import AgentError

app = typer.Typer(
    help="Small language models on edge boxes, reachable over MQTT.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file; default /etc/promptd/promptd.toml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
ContextLength = Annotated[
    int | None,
    typer.Option(
        "--context-length", min=1, help="Tokens of prompt and answer; wins over engine.context_length."
    ),
]


@app.command()
def run(config: Config = None, context_length: ContextLength = None) -> None:
    """Run the daemon: subscribe, compute, answer, report.

    A box with a claim and without a certificate enrols first.

    Example: promptd run --config ./promptd.toml
    """
    from agent.admission import admit, way_back
    from agent.app import Agent
    from agent.host import logs
    from agent.host.kernel import keep_no_core
    from agent.outfit import outfit

    def read() -> Settings:
        return load(config, context_length=context_length)

    keep_no_core()
    settings = read()
    logs.configure(settings.logs)
    if admit(config):
        settings = read()
    raise typer.Exit(Agent(settings, outfit(settings), read, way_back(config)).run())


@app.command()
def check(config: Config = None) -> None:
    """Check the settings and say every mistake; starts nothing and writes nothing.

    Example: promptd check --config ./promptd.toml
    """
    load(config)
    typer.echo("all is well")


@app.command()
def enrol(
    config: Config = None,
    *,
    explain: Annotated[bool, typer.Option(help="Print every step, also those that passed.")] = False,
    again: Annotated[bool, typer.Option(help="Even though this box has a certificate.")] = False,
) -> None:
    """Get this box a certificate with its claim, and print what the provisioning service says.

    `promptd run` does it by itself; here one can watch.

    Example: promptd enrol --explain
    """
    from agent.admission import admit
    from agent.enrolment_report import Onlooker
    from agent.host import logs
    from agent.settings import LogSettings

    logs.configure(LogSettings(format="console", level="error"))
    pair = admit(config, Onlooker(typer.echo, explain), again=again)
    enough = "nothing to do: this box has a certificate; --again gets it another one"
    typer.echo(f"this box is {pair.name}" if pair else enough)


@app.command()
def detect(config: Config = None, context_length: ContextLength = None, *, as_json: AsJson = False) -> None:
    """Show what this box is, what each engine variant needs, and which one would run.

    Example: promptd detect --json
    """
    from agent import detect as pages
    from agent.host import logs
    from agent.outfit import outfit

    settings = load(config, context_length=context_length)
    logs.configure(settings.logs)
    found = outfit(settings)
    arguments = (found.facts, found.verdicts, found.model)
    typer.echo(json.dumps(pages.as_json(*arguments), indent=2) if as_json else pages.report(*arguments))


@app.command()
def calibrate(
    config: Config = None,
    variant: Annotated[str, typer.Option(help="Measure only this engine variant.")] = "",
    context_length: ContextLength = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Measure how fast each engine variant that fits this box runs the model, and remember it.

    The fastest one is used from the next start on. Best measured while no promptd runs on this box.

    Example: promptd calibrate --variant gguf-cpu
    """
    from agent import calibration_report as pages
    from agent.calibrate import calibrate as measure
    from agent.host import logs

    settings = load(config, context_length=context_length)
    logs.configure(settings.logs)
    with pages.bars(shown=not as_json) as watch:
        outcome = measure(settings, watch, variant)
    typer.echo(json.dumps(pages.as_json(outcome), indent=2) if as_json else pages.report(outcome))
    if not any(finding.speeds for finding in outcome.findings):
        raise typer.Exit(1)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The prompt; '-' reads it from standard input.")],
    device: Annotated[str, typer.Option(help="Device to ask; default: this box.")] = "",
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens.")] = None,
    timeout_s: Annotated[float, typer.Option(help="How long the answer is wanted, in seconds.")] = 120,
    schema: Annotated[Path | None, typer.Option(help="JSON schema file that the answer follows.")] = None,
    config: Config = None,
    *,
    stream: Annotated[bool, typer.Option(help="Print the answer while it is written.")] = True,
    as_json: AsJson = False,
) -> None:
    """Ask a device over MQTT and print its answer.

    Example: promptd ask "Extract JSON: 12:04:11 WARN pump-17 pressure=9.3bar" --device box-17
    """
    from agent.client import Client, schema_format

    settings = load(config)
    prompt = sys.stdin.read() if question == "-" else question
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": prompt}],
        "stream": stream and not as_json,
    }
    body |= {} if max_tokens is None else {"max_tokens": max_tokens}
    body |= {} if schema is None else {"response_format": schema_format(schema)}
    with Client(settings.broker, device or settings.device_id) as client:
        answer = client.ask(body, timeout_s, _say_nothing if as_json else _print_now, _say_why_it_waits)
    typer.echo(json.dumps(answer) if as_json else "")
    if answer["choices"][0]["finish_reason"] == "length":
        typer.echo("promptd: the answer reached its token limit and is cut off; raise --max-tokens", err=True)


@app.command()
def demo(
    *,
    stay: Annotated[bool, typer.Option(help="Go on after the prompts, for your own.")] = True,
) -> None:
    """Show it all: a broker, the agent with the embedded model, real prompts; Ctrl-C ends it.

    Example: promptd demo
    """
    from agent import demo as show

    raise typer.Exit(show.run(stays=stay))


@app.command()
def privacy(config: Config = None, *, as_json: AsJson = False) -> None:
    """Show where prompts and answers are kept, for how long, and how to remove them.

    Example: promptd privacy --json
    """
    from agent import privacy as pages

    found = pages.places(load(config))
    typer.echo(json.dumps(pages.as_json(found), indent=2) if as_json else pages.report(found))


@app.command()
def version() -> None:
    """Print the version.

    Example: promptd version
    """
    typer.echo(__version__)


def _print_now(text: str) -> None:
    typer.echo(text, nl=False)


def _say_why_it_waits(words: str) -> None:
    typer.echo(f"promptd: no answer yet; {words}", err=True)


def _say_nothing(_text: str) -> None:
    """Leave it to the JSON at the end."""


def _add_rooms() -> None:
    from agent.identity.commands import app as identity
    from agent.models.commands import app as models

    app.add_typer(models, name="models")
    app.add_typer(identity, name="identity")


def main() -> None:
    """Run the command line; every foreseen error ends as one sentence."""
    _add_rooms()
    try:
        app()
    except AgentError as error:
        typer.echo(f"promptd: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
