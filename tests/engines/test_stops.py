from hypothesis import given
from hypothesis import strategies as st

from agent.engines.stops import StopWatch

LETTERS = "ab\n"
STOPS = st.lists(st.text(LETTERS, min_size=1, max_size=4), max_size=4)
PIECES = st.lists(st.text(LETTERS, max_size=5), max_size=12)


def watched(stops: list[str], pieces: list[str]) -> str:
    watch = StopWatch(stops)
    return "".join(watch.push(piece) for piece in pieces) + watch.rest()


def first_stop(stops: list[str], text: str) -> int:
    """Return where the text ends: at the stop string that is complete first."""
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    first_end = min(ends)[0] if ends else 0
    return min((start for end, start in ends if end == first_end), default=len(text))


@given(STOPS, st.text(LETTERS, max_size=30))
def test_token_by_token_the_stop_string_that_is_complete_first_ends_the_text(
    stops: list[str], text: str
) -> None:
    letters = list(text)

    kept = watched(stops, letters)

    assert kept == text[: first_stop(stops, text)]


@given(st.text(LETTERS, min_size=1, max_size=4), PIECES)
def test_pieces_cut_anywhere_give_the_text_before_the_stop_string(stop: str, pieces: list[str]) -> None:
    whole = "".join(pieces)

    kept = watched([stop], pieces)

    assert kept == whole.split(stop)[0]


@given(STOPS, PIECES)
def test_nothing_of_a_stop_string_ever_gets_out(stops: list[str], pieces: list[str]) -> None:
    whole = "".join(pieces)

    kept = watched(stops, pieces)

    assert whole.startswith(kept)
    assert not any(stop in kept for stop in stops)


@given(STOPS, PIECES)
def test_it_knows_whether_it_has_seen_a_stop_string(stops: list[str], pieces: list[str]) -> None:
    watch = StopWatch(stops)

    for piece in pieces:
        watch.push(piece)

    assert watch.has_matched == any(stop in "".join(pieces) for stop in stops)


def test_without_stop_strings_no_text_waits() -> None:
    watch = StopWatch([])

    text = watch.push("hello")

    assert text == "hello"


def test_only_what_may_become_a_stop_string_waits() -> None:
    watch = StopWatch(["###"])

    text = watch.push("hello ##")

    assert (text, watch.rest()) == ("hello ", "##")


def test_nothing_follows_a_stop_string() -> None:
    watch = StopWatch(["."])
    watch.push("one. two")

    text = watch.push(" three")

    assert (text, watch.rest()) == ("", "")
