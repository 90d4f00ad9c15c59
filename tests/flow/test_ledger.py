"""The ledger: one ending for each prompt, and nothing forgotten across deaths."""

from pathlib import Path

import pytest

from agent.flow.ledger import Capacity, Ledger
from agent.wire.errors import QueueFull, Stopping
from agent.wire.prompt import Cancel, ReplyTo
from flow.prompts import answer, claimed, digest, prompt, take

ROOM = Capacity(5, 1 << 20)


def test_a_prompt_is_new_once_and_a_duplicate_then(ledger: Ledger) -> None:
    receptions = [take(ledger, prompt("a")) for _ in range(3)]

    assert receptions == ["new", "duplicate", "duplicate"]
    assert ledger.depth().waiting == 1


def test_another_payload_under_the_same_key_is_a_conflict(ledger: Ledger) -> None:
    take(ledger, prompt("a"))

    reception = ledger.accept(prompt("a"), digest("something else"))

    assert reception == "conflict"


def test_an_answered_prompt_that_is_repeated_is_sent_again_byte_for_byte(ledger: Ledger) -> None:
    take(ledger, prompt("a"))
    ledger.finish(claimed(ledger).number, answer())
    (first,) = ledger.letters(9)
    ledger.delivered(first.number)

    reception = take(ledger, prompt("a"))

    assert reception == "answered"
    assert ledger.letters(9) == [first]


def test_a_delivered_answer_is_not_sent_again_by_itself(ledger: Ledger) -> None:
    take(ledger, prompt("a"))
    ledger.finish(claimed(ledger).number, answer())

    ledger.delivered(ledger.letters(9)[0].number)

    assert ledger.letters(9) == []


def test_a_full_queue_refuses_the_next_prompt_and_tells_when_to_come_back(ledger: Ledger) -> None:
    for n in range(5):
        take(ledger, prompt(str(n)))

    with pytest.raises(QueueFull) as caught:
        take(ledger, prompt("one too many"))

    assert caught.value.retry_after_ms


def test_prompts_that_are_too_many_bytes_together_are_refused_by_the_setting(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "db", Capacity(5, 1000))
    take(ledger, prompt("a"))

    with pytest.raises(QueueFull, match=r"queue\.max_bytes"):
        ledger.accept(prompt("b" * 900), digest("b"))

    ledger.close()


def test_a_full_queue_still_recognises_what_it_has(ledger: Ledger) -> None:
    for n in range(5):
        take(ledger, prompt(str(n)))

    reception = take(ledger, prompt("3"))

    assert reception == "duplicate"


def test_a_device_that_stops_still_recognises_what_it_has(ledger: Ledger) -> None:
    take(ledger, prompt("known"))

    reception = ledger.accept(prompt("known"), digest("known"), Stopping())

    assert reception == "duplicate"


def test_a_device_that_stops_takes_nothing_new(ledger: Ledger) -> None:
    with pytest.raises(Stopping):
        ledger.accept(prompt("new"), digest("new"), Stopping())

    assert ledger.depth().waiting == 0


def test_prompts_are_served_by_priority_and_then_in_order(ledger: Ledger) -> None:
    for name, priority in (("b", "batch"), ("n1", "normal"), ("i", "interactive"), ("n2", "normal")):
        take(ledger, prompt(name, priority))  # type: ignore[arg-type]  # a literal out of a tuple

    order = [claimed(ledger).prompt.id for _ in range(4)]

    assert order == ["i", "n1", "n2", "b"]


def test_a_prompt_that_waited_too_long_is_found(ledger: Ledger) -> None:
    take(ledger, prompt("patient"))
    take(ledger, prompt("hasty", timeout_s=0))

    entry = ledger.next_expired()

    assert entry is not None
    assert entry.prompt.id == "hasty"


def test_an_attempt_counts_before_the_engine_sees_the_prompt(ledger: Ledger) -> None:
    take(ledger, prompt("a"))
    entry = claimed(ledger)

    ledger.release(entry.number, is_blamed=True)

    again = ledger.next_waiting()
    assert again is not None
    assert again.attempts == 1


def test_an_attempt_that_was_not_its_fault_is_not_counted(ledger: Ledger) -> None:
    take(ledger, prompt("a"))
    entry = claimed(ledger)

    ledger.release(entry.number, is_blamed=False)

    again = ledger.next_waiting()
    assert again is not None
    assert again.attempts == 0


def test_a_prompt_ends_once(ledger: Ledger) -> None:
    take(ledger, prompt("a"))
    number = claimed(ledger).number

    endings = [ledger.finish(number, answer("one")), ledger.finish(number, answer("two"))]

    assert endings == [True, False]
    assert [letter.publication.payload for letter in ledger.letters(9)] == [b"one"]


@pytest.mark.parametrize("wish", [Cancel("a", ReplyTo("")), Cancel(None, ReplyTo("answers/a", b"a"))])
def test_a_cancellation_finds_its_prompt_by_id_or_by_key(ledger: Ledger, wish: Cancel) -> None:
    _ = [take(ledger, prompt(name)) for name in ("a", "b")]

    found = [entry.prompt.id for entry in ledger.find(wish)]

    assert found == ["a"]


def test_a_refusal_is_forgotten_once_it_is_delivered(ledger: Ledger) -> None:
    ledger.refuse(answer(), 60)

    ledger.delivered(ledger.letters(9)[0].number)

    assert ledger.depth().unsent == 0


def test_an_answer_that_nobody_has_may_be_replaced(ledger: Ledger) -> None:
    take(ledger, prompt("a"))
    ledger.finish(claimed(ledger).number, answer("too long"))

    is_replaced = ledger.replace(ledger.letters(1)[0].number, answer("shorter"))

    assert (is_replaced, ledger.letters(1)[0].publication) == (True, answer("shorter"))


def test_an_answer_that_somebody_may_have_keeps_its_content(ledger: Ledger) -> None:
    take(ledger, prompt("a"))
    ledger.finish(claimed(ledger).number, answer())
    number = ledger.letters(1)[0].number
    ledger.delivered(number)
    take(ledger, prompt("a"))

    is_replaced = ledger.replace(number, answer("another"))

    assert (is_replaced, ledger.letters(1)[0].publication) == (False, answer())


def test_after_a_death_what_ran_waits_again_with_its_attempt_counted(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "db", ROOM)
    take(first, prompt("a", stream=True))
    claimed(first)
    first.close()

    second = Ledger(tmp_path / "db", ROOM)

    entry = second.next_waiting()
    second.close()
    assert entry is not None
    assert (entry.prompt, entry.attempts) == (prompt("a", stream=True), 1)


def test_after_a_restart_a_parked_answer_is_tried_again(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "db", ROOM)
    first.refuse(answer(), 60)
    first.park(first.letters(9)[0].number)
    was_sent = first.letters(9)
    first.close()

    second = Ledger(tmp_path / "db", ROOM)

    letters = second.letters(9)
    second.close()
    assert (was_sent, [letter.publication for letter in letters]) == ([], [answer()])


def test_a_prompt_that_a_bad_disk_has_changed_stands_in_nobodys_way(ledger: Ledger) -> None:
    for name in ("changed", "whole"):
        take(ledger, prompt(name))
    ledger._change("UPDATE prompt SET body = x'ff' WHERE id = 'changed'")

    found = ledger.next_waiting()

    assert found is None or found.prompt.id == "whole"
    assert claimed(ledger).prompt.id == "whole"
    assert take(ledger, prompt("changed")) == "new"


def test_an_answer_that_a_bad_disk_has_changed_is_computed_anew_when_it_is_asked_for(ledger: Ledger) -> None:
    take(ledger, prompt("a"))
    ledger.finish(claimed(ledger).number, answer())
    ledger._change("UPDATE answer SET body = x'ff'")

    letters = ledger.letters(9)

    assert (letters, take(ledger, prompt("a"))) == ([], "new")


def test_births_are_counted(tmp_path: Path) -> None:
    Ledger(tmp_path / "db", ROOM).close()

    second = Ledger(tmp_path / "db", ROOM)

    second.close()
    assert second.birth == 2
