"""The words, the JSON and the progress bars of `promptd calibrate`: what was measured, what it changes."""

import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any

from agent.calibrate import SEQUENCES, Finding, Outcome, Tell, Watch
from agent.engines.options import Speeds
from agent.engines.pace import Pace
from agent.hardware.choice import Verdict
from agent.outfit import Outfit

WIDTH = 100
NAME, CELL = 16, 9


def report(outcome: Outcome) -> str:
    """Return the table and the changes as plain text, at most 100 columns wide."""
    return "\n".join([*_head(outcome.after), *_rows(outcome.findings), "", *_changes(outcome)])


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return the same for scripts; a variant that could not be measured has no `speeds`."""
    return {
        "model": outcome.after.model.name,
        "fingerprint": outcome.after.facts.fingerprint,
        "measured": [asdict(finding) for finding in outcome.findings],
        "before": _plan_of(outcome.before),
        "after": _plan_of(outcome.after),
    }


@contextmanager
def bars(*, shown: bool) -> Iterator[Watch]:
    """Draw a bar for each variant on standard error, if that is a terminal."""
    from rich.console import Console  # noqa: PLC0415 -- `--json` and scripts do not draw
    from rich.progress import Progress  # noqa: PLC0415 -- same reason

    console = Console(stderr=True)
    if not shown or not console.is_terminal:
        yield _unseen
        return
    with Progress(console=console) as progress:
        yield _drawn_on(progress.add_task, progress.update)


def _drawn_on(add: Callable[..., Any], update: Callable[..., None]) -> Watch:
    @contextmanager
    def watch(variant: str) -> Iterator[Tell]:
        task = add(f"{variant} is loaded", total=None)
        yield lambda share: update(task, description=variant, completed=share, total=1)
        update(task, description=variant, completed=1, total=1)

    return watch


def _unseen(_variant: str) -> AbstractContextManager[Tell]:
    @contextmanager
    def nothing() -> Iterator[Tell]:
        yield lambda _share: None

    return nothing()


def _head(after: Outfit) -> list[str]:
    threads = next((one.options.threads for one in after.candidates), 1)
    titles = "".join(f"{number:>{CELL}}" for number in SEQUENCES)
    return [
        f"Model {after.model.name}, {threads} thread{'s' if threads > 1 else ''}, tokens per second:",
        "",
        f"{'':{NAME}}{'':{CELL}}{'decode, sequences side by side':>{CELL * len(SEQUENCES)}}",
        f"{'variant':{NAME}}{'prefill':>{CELL}}{titles}",
    ]


def _rows(findings: tuple[Finding, ...]) -> list[str]:
    lines = []
    for finding in findings:
        cells = _cells(finding.speeds) if finding.speeds else "  not measured"
        lines.append(f"{finding.variant:{NAME}}{cells}")
        for note in finding.notes:
            lines += textwrap.wrap(
                note, WIDTH, initial_indent=" " * (NAME + 2), subsequent_indent=" " * (NAME + 2)
            )
    return lines


def _cells(speeds: Speeds) -> str:
    measured = dict(speeds.step_ms)
    rates = [speeds.decode_tokens_per_s(number) if number in measured else None for number in SEQUENCES]
    texts = ["-" if rate is None else f"{rate:.1f}" for rate in (speeds.prefill_tokens_per_s, *rates)]
    return "".join(f"{text:>{CELL}}" for text in texts)


def _changes(outcome: Outcome) -> list[str]:
    before, after = _first(outcome.before), _first(outcome.after)
    if before is None or after is None:
        return ["Nothing can run on this box any more; promptd detect tells why."]
    if before.variant == after.variant:
        lines = [f"{after.variant} still runs first."]
    else:
        lines = [f"{after.variant} runs first now, before it was {before.variant}."]
    earlier = {verdict.variant: verdict for verdict in outcome.before.verdicts}
    for verdict in outcome.after.verdicts:
        if verdict.fits and verdict.speeds:
            lines += _change(earlier[verdict.variant], verdict)
    return [*lines, "A running promptd takes this over when it is started again."]


def _change(before: Verdict, after: Verdict) -> list[str]:
    pairs = [
        ("slots", before.slots, after.slots),
        ("tokens of context", before.context_length, after.context_length),
        ("tokens of prefix cache", before.cache_tokens, after.cache_tokens),
        ("prompt tokens in a step", _chunk_tokens(before), _chunk_tokens(after)),
    ]
    texts = [f"{new} {what} instead of {old}" for what, old, new in pairs if new != old]
    return textwrap.wrap(
        f"{after.variant}: {', '.join(texts) or f'{after.slots} slots, as before'}.",
        WIDTH,
        subsequent_indent="  ",
        break_on_hyphens=False,
    )


def _chunk_tokens(verdict: Verdict) -> int:
    """Return how much of a prompt enters beside running answers, as the step loop begins with."""
    return Pace(verdict.speeds).chunk_tokens()


def _first(found: Outfit) -> Verdict | None:
    return next((verdict for verdict in found.verdicts if verdict.fits), None)


def _plan_of(found: Outfit) -> dict[str, Any] | None:
    first = _first(found)
    if first is None:
        return None
    return {
        "first": first.variant,
        "slots": first.slots,
        "context_length": first.context_length,
        "cache_tokens": first.cache_tokens,
        "chunk_tokens": _chunk_tokens(first),
    }
