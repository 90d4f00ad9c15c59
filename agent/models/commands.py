"""`promptd models`: list, pull, verify and inspect, for people and, with `--json`, for scripts."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from agent import settings_file as configuration
from agent.models.catalogue import BY_NAME, CATALOGUE, CatalogueEntry
from agent.models.fit import choose_engine, judge
from agent.models.inspect import inspect_path
from agent.models.manifest import Model
from agent.models.store import Progress, Store, no_progress
from agent.settings import Settings
from agent.wire.errors import AgentError, ModelError

app = typer.Typer(name="models", help="The models on this box.", no_args_is_help=True)

Config = Annotated[Path | None, typer.Option("--config", help="The configuration file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


@app.command("list")
def list_models(*, config: Config = None, as_json: Json = False) -> None:
    """List the installed models and the ones that can be pulled.

    Example: promptd models list --json
    """
    with _plain_exit():
        store = _store(configuration.load(config))
        rows = [_row(model) for model in store.installed()]
    names = {row["name"] for row in rows}
    rows += [_row(entry.as_model(), installed=False) for entry in CATALOGUE if entry.name not in names]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        state = "installed" if row["installed"] else f"promptd models pull {row['name']}"
        typer.echo(f"{row['name']:<16} {row['license']:<12} {', '.join(row['engines'])}  ({state})")


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="A name that `promptd models list` shows.")],
    *,
    engine: Annotated[str, typer.Option(help="An engine variant; the best fitting one by default.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Pull even what does not fit this box.")] = False,
    config: Config = None,
) -> None:
    """Fetch the variant of a model that fits this box best; interrupted, it goes on where it stopped.

    Example: promptd models pull phi-3-mini --engine gguf-cpu
    """
    from agent.models import download  # noqa: PLC0415 -- brings the hub's client in

    with _plain_exit():
        settings = configuration.load(config)
        entry = _entry(name)
        variant = choose_engine(entry, settings, judge, engine=engine, force=force)
        typer.echo(f"pulling {name} for {variant}", err=True)
        with _bar(f"pulling {name}") as progress:
            model = download.pull(entry, variant, _store(settings), progress=progress)
    typer.echo(str(model.folder))


@app.command()
def verify(
    name: Annotated[
        str, typer.Argument(help="One model, by name or path; all installed ones by default.")
    ] = "",
    *,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Compare every file of the installed models with its size and SHA-256.

    Example: promptd models verify phi-3-mini
    """
    with _plain_exit():
        store = _store(configuration.load(config))
        models = (store.resolve(name),) if name else store.installed()
        with _bar("verifying", shown=not as_json) as progress:
            findings = [found for model in models for found in store.verify(model, progress)]
    if as_json:
        typer.echo(json.dumps([{"path": str(each.path), "fault": each.fault} for each in findings], indent=2))
    else:
        for each in findings:
            typer.echo(f"{each.path} {each.fault or 'is good'}")
    raise typer.Exit(1 if any(each.fault for each in findings) else 0)


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="A GGUF file, or a folder with genai_config.json.")],
    *,
    as_json: Json = False,
) -> None:
    """Say what a model file or folder is, without loading it.

    Example: promptd models inspect ./Phi-3-mini-4k-instruct-q4.gguf
    """
    with _plain_exit():
        model = inspect_path(path)
    row, shape = _row(model), model.shape
    row |= {"layers": shape.layers, "kv_heads": shape.kv_heads, "head_dim": shape.head_dim}
    if as_json:
        typer.echo(json.dumps(row, indent=2))
        return
    for key, value in row.items():
        typer.echo(f"{key:<16} {', '.join(value) if isinstance(value, list) else value}")


def _entry(name: str) -> CatalogueEntry:
    if name in BY_NAME:
        return BY_NAME[name]
    raise ModelError(f"the catalogue has no {name!r}; it has {', '.join(BY_NAME)}")


def _store(settings: Settings) -> Store:
    return Store(settings.state_dir / "models")


def _row(model: Model, *, installed: bool = True) -> dict[str, Any]:
    return {
        "name": model.name,
        "installed": installed,
        "license": model.license,
        "context_length": model.shape.context_length,
        "engines": [engine for variant in model.variants for engine in variant.engines],
        "precision": [variant.precision for variant in model.variants],
        "size_bytes": sum(variant.size_bytes for variant in model.variants),
    }


@contextmanager
def _plain_exit() -> Iterator[None]:
    """End with one sentence and the exit code of the error."""
    try:
        yield
    except AgentError as error:
        typer.echo(f"promptd: {error}", err=True)
        raise typer.Exit(error.exit_code) from error


@contextmanager
def _bar(title: str, *, shown: bool = True) -> Iterator[Progress]:
    """Draw a progress bar on standard error, if that is a terminal."""
    from rich.console import Console  # noqa: PLC0415 -- only these commands draw
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415 -- same reason

    console = Console(stderr=True)
    if not shown or not console.is_terminal:
        yield no_progress
        return
    columns = (
        "{task.description}",
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task(title, total=None)

        def tell(path: str, done_bytes: int, total_bytes: int) -> None:
            bar.update(task, description=path, completed=done_bytes, total=total_bytes)

        yield tell
