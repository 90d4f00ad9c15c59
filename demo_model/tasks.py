"""Makes examples of the work the demo model knows: pairs of a prompt and its one right answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from demo_model import chatter, words

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt and the answer the model shall give, word for word."""

    task: str
    prompt: str
    answer: str


def _json_value(text: str) -> float | int:
    return float(text) if "." in text else int(text)


_LINES = (
    ("{time} {level} {device} {metric}={value}{space}{unit}", ()),
    ("{time} {level} {device} {metric}={value}{space}{unit}", ()),
    ("{time} {level} {device}: {metric} {value}{space}{unit}", ()),
    ("[{level}] {device}: {metric} is {value} {unit} at {time}", ()),
    ("{device} reports {metric} {value} {unit} ({time}, {level})", ()),
    ("{time};{device};{metric};{value};{unit};{level}", ()),
    ("{time} {device} {metric}={value}{space}{unit}", ("level",)),
    ("{level} {device} {metric}={value}{space}{unit}", ("time",)),
    ("{device} {metric}={value}{space}{unit}", ("time", "level")),
    ("{device} {metric}: {value}{space}{unit}", ("time", "level")),
)
"""Layouts of a log or sensor line, and the fields of the record that the layout lacks."""


def extract(rng: Random, *, held: bool) -> Example:
    """Turn a log or sensor line into a JSON record; fields the line lacks are left out."""
    fields = {"time": words.clock(rng, held=held), "level": rng.choice(words.LEVELS)}
    fields |= {"device": words.device(rng, held=held), "value": words.number(rng, held=held)}
    fields["metric"], fields["unit"] = words.metric(rng, held=held)
    space = rng.choice(("", " "))
    layout, missing = rng.choice(_LINES)
    order = rng.choice(("Extract JSON: ", "Extract JSON: ", "Extract JSON from: ", "JSON: "))
    keys = [key for key in ("time", "level", "device", "metric", "value", "unit") if key not in missing]
    record = {key: _json_value(fields[key]) if key == "value" else fields[key] for key in keys}
    answer = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    return Example("extract", order + layout.format(space=space, **fields), answer)


def grade(rng: Random, *, held: bool) -> Example:
    """Grade an alarm: a value above the warning limit is a warning, above the critical one critical."""
    device = words.device(rng, held=held)
    metric, unit = words.metric(rng, held=held)
    value, *limits = words.numbers(rng, 3, held=held)
    warning, critical = sorted(limits, key=float)
    if float(warning) == float(critical):
        return grade(rng, held=held)
    high = float(value) > float(critical)
    answer = "critical" if high else "warning" if float(value) > float(warning) else "ok"
    order = rng.choice(("Grade alarm: ", "Grade alarm: ", "Grade: "))
    subject = rng.choice((f"{device} {metric} {value} {unit}", f"{device} {metric}={value}{unit}"))
    tail = rng.choice(("", f" {unit}"))
    limit = f"warning above {warning}{tail}, critical above {critical}{tail}"
    return Example("grade", f"{order}{subject}, {limit}", answer)


def check(rng: Random, *, held: bool) -> Example:
    """Answer yes or no about a limit; a value equal to its limit is within it."""
    device = words.device(rng, held=held)
    metric, unit = words.metric(rng, held=held)
    value, limit = words.numbers(rng, 2, held=held)
    over = float(value) > float(limit)
    prompt, answer = rng.choice(
        (
            (f"{device} {metric} {value} {unit}, limit {limit} {unit}. Over the limit?", over),
            (f"{device} {metric} {value} {unit}, limit {limit} {unit}. Over the limit?", over),
            (f"{device} {metric} is {value} {unit}, limit {limit} {unit}. Within the limit?", not over),
            (f"Is {device} over its limit? {metric} {value} {unit}, limit {limit} {unit}", over),
            (f"Is {value} {unit} over the limit of {limit} {unit}?", over),
        )
    )
    return Example("check", prompt, "yes" if answer else "no")


def _reading(rng: Random, metric: str, unit: str, *, held: bool) -> tuple[str, str, bool]:
    """Draw one reading as it stands in the prompt and in the answer, and whether it is over its limit."""
    value, limit = words.numbers(rng, 2, held=held)
    over = float(value) > float(limit)
    said = f"{metric} {value} {unit} is {'above' if over else 'within'} its limit of {limit}"
    return f"{metric} {value} {unit} (limit {limit})", said, over


def summarise(rng: Random, *, held: bool) -> Example:
    """Say in one sentence what one to three readings of a device mean."""
    device = words.device(rng, held=held)
    readings: dict[str, tuple[str, str, bool]] = {}
    for _ in range(rng.choice((1, 1, 2, 2, 3))):
        metric, unit = words.metric(rng, held=held)
        readings[metric] = _reading(rng, metric, unit, held=held)
    shown, said, _ = zip(*readings.values(), strict=True)
    to_check = [metric for metric, (_, _, over) in readings.items() if over]
    advice = f"check {' and '.join(to_check)}" if to_check else "all normal"
    order = rng.choice(("Summarise: ", "Summarise: ", "Summarize: "))
    return Example(
        "summarise", f"{order}{device} {', '.join(shown)}", f"{device}: {', '.join(said)}; {advice}."
    )


def copy(rng: Random, *, held: bool) -> Example:
    """Repeat words, numbers and noise: the skill that the other tasks are built on."""
    draws = (
        lambda: words.word(rng, held=held),
        lambda: words.number(rng, held=held),
        lambda: words.device(rng, held=held),
        lambda: words.metric(rng, held=held)[1],
        lambda: words.noise(rng),
    )
    text = " ".join(rng.choice(draws)() for _ in range(rng.randint(1, 5)))
    return Example("copy", f"Repeat: {text}", text)


def compare(rng: Random, *, held: bool) -> Example:
    """Compare neighbours in a row of numbers: a training aid with much to learn in few tokens."""
    row = words.numbers(rng, rng.randint(2, 6), held=held)
    signs = [">" if float(a) > float(b) else "<" if float(a) < float(b) else "=" for a, b in pairwise(row)]
    return Example("compare", f"Compare: {' '.join(row)}", " ".join(signs))


def other(rng: Random, *, held: bool) -> Example:
    """Greet or ask for something the model cannot do; the answer is always what it can do."""
    return Example("other", chatter.question(rng, held=held), chatter.WHO_I_AM)


TASKS = {
    "extract": extract,
    "grade": grade,
    "check": check,
    "summarise": summarise,
    "other": other,
    "copy": copy,
    "compare": compare,
}
_TRAINING_SHARES = (14, 13, 13, 13, 2, 17, 28)
_MEASURED = ("extract", "grade", "check", "summarise", "other")
_MEASURED_SHARES = (30, 22, 22, 22, 4)


def training_example(rng: Random) -> Example:
    """Draw from every task at once, training aids included, never with held-out words."""
    return TASKS[rng.choices(list(TASKS), _TRAINING_SHARES)[0]](rng, held=False)


def held_out_example(rng: Random) -> Example:
    """Draw an example whose names, numbers, times and units never occur in training."""
    return TASKS[rng.choices(_MEASURED, _MEASURED_SHARES)[0]](rng, held=True)
