"""The words and the JSON of `promptd detect`: what this box is, what fits it, what runs first and why."""

import dataclasses
import textwrap
from pathlib import PurePath
from typing import Any

from agent.engines.table import BY_NAME
from agent.hardware.choice import Verdict
from agent.hardware.facts import Cpu, Facts, Gpu, Memory, Packages, Unknown
from agent.hardware.sizes import readable
from agent.models.manifest import Model

WIDTH = 100
LABEL_WIDTH = 13
COLUMNS = "{mark:>3}  {variant:<15}{needs:>8}{context:>9}{slots:>7}{cache:>7}  "


def report(facts: Facts, verdicts: tuple[Verdict, ...], model: Model) -> str:
    """Return the whole report as plain text, at most 100 columns wide."""
    return "\n".join([*_box(facts), "", *_table(verdicts, model), "", *_first(verdicts), *_hint(verdicts)])


def as_json(facts: Facts, verdicts: tuple[Verdict, ...], model: Model) -> dict[str, Any]:
    """Return the same for scripts; a fact nobody could find out is `{"unknown": reason}`."""
    return {
        "facts": {**_plain(facts), "fingerprint": facts.fingerprint},
        "model": {"name": model.name, "context_length": model.shape.context_length},
        "verdicts": [_plain(verdict) for verdict in verdicts],
        "first": next((verdict.variant for verdict in verdicts if verdict.fits), None),
        "is_calibrated": any(verdict.fits and verdict.speeds for verdict in verdicts),
    }


def _box(facts: Facts) -> list[str]:
    return [
        *_labelled("System", f"{facts.system}, {facts.cpu.architecture}"),
        *_labelled("Processor", _cpu(facts.cpu)),
        *_labelled("Memory", _memory(facts.memory)),
        *_gpus(facts.gpus),
        *_adapters(facts),
        *_labelled("Disk", _disk(facts.disk_free_bytes)),
        *_labelled("Packages", _packages(facts.packages)),
        *_labelled("Fingerprint", facts.fingerprint),
    ]


def _cpu(cpu: Cpu) -> str:
    model = f"unknown: {cpu.model.reason}" if isinstance(cpu.model, Unknown) else cpu.model
    cores = f"{cpu.usable_physical_cores} of {_count(cpu.physical_cores, 'core')} usable"
    because = f" ({cpu.limit})" if cpu.limit else ""
    return f"{model}, {cores}{because}; {' '.join(cpu.instruction_sets) or 'no vector instructions known'}"


def _memory(memory: Memory | Unknown) -> str:
    if isinstance(memory, Unknown):
        return f"unknown: {memory.reason}"
    text = f"{readable(memory.available_bytes)} available of {readable(memory.total_bytes)}"
    if memory.total_bytes == memory.machine_bytes:
        return text
    return f"{text}, limited by {memory.limit} (the machine has {readable(memory.machine_bytes)})"


def _gpus(gpus: tuple[Gpu, ...] | Unknown) -> list[str]:
    if isinstance(gpus, Unknown):
        return _labelled("NVIDIA GPU", f"none: {gpus.reason}")
    return [line for gpu in gpus for line in _labelled("NVIDIA GPU", _gpu(gpu))]


def _gpu(gpu: Gpu) -> str:
    capability, kind = gpu.compute_capability, "shared with the system" if gpu.is_unified else "its own"
    parts = [
        f"{gpu.name}, {_size(gpu.memory_free_bytes)} free of {_size(gpu.memory_total_bytes)} ({kind})",
        "" if isinstance(capability, Unknown) else f"compute capability {capability[0]}.{capability[1]}",
        f"driver {gpu.driver}" if gpu.driver else "",
    ]
    return ", ".join(part for part in parts if part)


def _adapters(facts: Facts) -> list[str]:
    if isinstance(facts.adapters, Unknown):
        return _labelled("DirectX", f"none: {facts.adapters.reason}") if facts.platform == "win32" else []
    texts = [
        f"{adapter.name}, dedicated memory: {_size(adapter.dedicated_bytes)}" for adapter in facts.adapters
    ]
    return [line for text in texts for line in _labelled("DirectX", text)]


def _disk(free_bytes: int | Unknown) -> str:
    return _size(free_bytes) if isinstance(free_bytes, Unknown) else f"{readable(free_bytes)} free for models"


def _packages(packages: Packages) -> str:
    found = [f"{name} {version}" for name, version in packages.versions] or ["no engine package"]
    if not isinstance(packages.has_llama_cuda, Unknown):
        found.append(f"llama.cpp {'with' if packages.has_llama_cuda else 'without'} CUDA")
    return ", ".join([*found, *(f"CLASH: {' and '.join(clash)}" for clash in packages.clashes)])


def _table(verdicts: tuple[Verdict, ...], model: Model) -> list[str]:
    head = COLUMNS.format(
        mark="#", variant="variant", needs="needs", context="context", slots="slots", cache="cache"
    )
    lines = [f"Model {model.name}, trained for {model.shape.context_length} tokens:", "", f"{head}verdict"]
    for number, verdict in enumerate(verdicts, start=1):
        lines += _row(number, verdict)
    return lines


def _row(number: int, verdict: Verdict) -> list[str]:
    needs = verdict.needed_bytes
    cells = COLUMNS.format(
        mark=number if verdict.fits else "-",
        variant=verdict.variant,
        needs="-" if needs is None else readable(needs),
        context="-" if needs is None else verdict.context_length,
        slots="-" if needs is None else verdict.slots,
        cache="-" if needs is None else verdict.cache_tokens,
    )
    return _wrapped(verdict.reason, cells)


def _first(verdicts: tuple[Verdict, ...]) -> list[str]:
    first = next((verdict for verdict in verdicts if verdict.fits), None)
    if first is None:
        return [
            "Nothing can run: correct one of the reasons above, or set engine.prefer to echo for a trial."
        ]
    text = f"{first.variant} runs first ({BY_NAME[first.variant].title}), because it {first.reason}."
    return _wrapped(text, "")


def _hint(verdicts: tuple[Verdict, ...]) -> list[str]:
    """Name what nobody has measured yet, because the order of the variants is then only a guess."""
    unknown = [verdict.variant for verdict in verdicts if verdict.fits and not verdict.speeds]
    if not unknown:
        return []
    return _wrapped(f"Not measured yet: {', '.join(unknown)}; promptd calibrate does that.", "")


def _labelled(label: str, text: str) -> list[str]:
    return _wrapped(text, f"{label:<{LABEL_WIDTH}}")


def _wrapped(text: str, before: str) -> list[str]:
    indent = " " * len(before)
    return textwrap.wrap(text, WIDTH, initial_indent=before, subsequent_indent=indent, break_on_hyphens=False)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _size(size_bytes: int | Unknown) -> str:
    return f"unknown ({size_bytes.reason})" if isinstance(size_bytes, Unknown) else readable(size_bytes)


def _plain(value: Any) -> Any:  # noqa: ANN401 -- whatever a fact is made of
    if isinstance(value, Unknown):
        return {"unknown": value.reason}
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, PurePath) else value
