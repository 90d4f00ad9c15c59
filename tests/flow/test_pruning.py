"""What is forgotten, and what never is."""

import base64
from pathlib import Path

from agent.flow.ledger import Capacity, Ledger
from agent.flow.pruning import Retention
from flow.prompts import answer, claimed, prompt, take

TEXT = "a text that must not stay on the disk"
AT_ONCE = Retention(age_s=-1)


def answered(ledger: Ledger, *names: str) -> None:
    for name in names:
        take(ledger, prompt(name))
        ledger.finish(claimed(ledger).number, answer(TEXT))
        ledger.delivered(ledger.letters(1)[0].number)


def test_only_delivered_answers_that_are_old_are_forgotten(ledger: Ledger) -> None:
    answered(ledger, "delivered")
    take(ledger, prompt("unsent"))
    ledger.finish(claimed(ledger).number, answer())
    take(ledger, prompt("waiting"))

    forgotten = ledger.prune(AT_ONCE)

    receptions = [take(ledger, prompt(name)) for name in ("delivered", "unsent", "waiting")]
    assert (forgotten, receptions) == (1, ["new", "answered", "duplicate"])


def test_young_answers_stay(ledger: Ledger) -> None:
    answered(ledger, "a")

    assert ledger.prune(Retention()) == 0


def test_above_a_number_of_prompts_the_oldest_are_forgotten(ledger: Ledger) -> None:
    answered(ledger, "a", "b", "c")

    ledger.prune(Retention(prompts=2))

    assert [take(ledger, prompt(name)) for name in ("a", "b", "c")] == ["new", "answered", "answered"]


def test_above_a_size_answers_are_forgotten_however_young(ledger: Ledger) -> None:
    answered(ledger, "a")

    assert ledger.prune(Retention(size_bytes=0)) == 1


def test_what_is_forgotten_is_not_on_the_disk_any_more(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    ledger = Ledger(folder / "ledger.db", Capacity(5, 1 << 20))
    answered(ledger, "a")
    held = is_on_disk(folder)

    ledger.prune(AT_ONCE)

    assert (held, is_on_disk(folder)) == (True, False)
    ledger.close()


def is_on_disk(folder: Path) -> bool:
    # The body of an answer is kept as JSON with base64 in it; its readable text stands nowhere else.
    needles = (TEXT.encode(), base64.b64encode(TEXT.encode())[:40])
    return any(needle in file.read_bytes() for file in folder.iterdir() for needle in needles)
