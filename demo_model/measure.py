"""Measures every variant and writes the table into the README: `python -m demo_model.measure`."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from demo_model import answers, score
from demo_model.export import GGUF_NAME
from demo_model.train import BUILD

if TYPE_CHECKING:
    from demo_model.answers import Answer
    from demo_model.tasks import Example

log = logging.getLogger("demo_model.measure")

README = Path("demo_model/README.md")
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
TASKS = ("extract", "grade", "check", "summarise", "other")


def variants(folder: Path, threads: int) -> dict[str, Answer]:
    """Return the way to answer with each variant, the reference first."""
    gguf = {
        precision: answers.llama_cpp(folder / "gguf" / GGUF_NAME.format(precision), threads)
        for precision in ("f32", "q8_0", "q4_0")
    }
    return {
        "Hugging Face float32": answers.hugging_face(folder / "hf"),
        "GGUF f32": gguf["f32"],
        "**GGUF q8_0** (shipped)": gguf["q8_0"],
        "GGUF q4_0": gguf["q4_0"],
        "ONNX fp32": answers.onnx(folder / "onnx-cpu-fp32", threads),
        "**ONNX int4** (shipped)": answers.onnx(folder / "onnx-cpu-int4", threads),
    }


def _share(examples: list[Example], said: list[str], task: str | None = None) -> str:
    chosen = [(e, text) for e, text in zip(examples, said, strict=True) if task in (None, e.task)]
    return f"{100 * sum(e.answer == text for e, text in chosen) / len(chosen):.1f} %"


def _row(name: str, examples: list[Example], said: list[str], reference: list[str]) -> str:
    equal = sum(a == b for a, b in zip(said, reference, strict=True))
    shares = [_share(examples, said), *(_share(examples, said, task) for task in TASKS)]
    return f"| {name} | {' | '.join(shares)} | {equal} of {len(said)} |"


def table(folder: Path, examples: list[Example], threads: int) -> list[str]:
    """Answer every example with every variant and return the lines of the table."""
    lines = [f"| variant | all | {' | '.join(TASKS)} | same text as float32 |", "|---" * 8 + "|"]
    reference: list[str] = []
    for name, answer in variants(folder, threads).items():
        said = [answer(example.prompt) for example in examples]
        reference = reference or said
        lines.append(_row(name, examples, said, reference))
        log.info("%s", lines[-1])
    return lines


def write_table(readme: Path, folder: Path, lines: list[str], count: int) -> None:
    """Put the table between the two marker comments of the README."""
    record = json.loads((folder / "training.json").read_text())
    today = dt.datetime.now(tz=dt.UTC).date()
    about = (
        f"Measured on {today}, exact match of the greedy answer on {count} held-out examples. "
        f"Training took {record['minutes']} minutes for {record['steps']} steps on 2 CPU cores."
    )
    before, rest = readme.read_text().split(BEGIN)
    _, after = rest.split(END)
    readme.write_text("\n".join([f"{before}{BEGIN}", about, "", *lines, f"{END}{after}"]))


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=BUILD)
    parser.add_argument("--readme", type=Path, default=README)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(args.threads)
    lines = table(args.folder, score.held_out(args.count), args.threads)
    write_table(args.readme, args.folder, lines, args.count)


if __name__ == "__main__":
    main()
