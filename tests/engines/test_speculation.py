"""Guessing the next tokens from the text before: the answer stays the same, and dear guesses stop."""

from dataclasses import replace

from agent.engines.batch import Batch
from agent.engines.contract import Engine
from agent.engines.options import Speeds
from agent.engines.pace import Pace
from agent.engines.speculation import HOPE, Speculation
from agent.wire.prompt import Message, Sampling
from engines.running import Golden, Variant, Witness, equal, finish, open_variant, request

CHEAP = Pace(Speeds(100.0, ((1, 1.0), (64, 1.1))))
DEAR = Pace(Speeds(100.0, ((1, 1.0), (2, 9.0), (64, 999.0))))
QUOTE = "Extract JSON: 12:04:11 WARN pump-17 pressure=9.3bar"


class Steady(Pace):
    """Learns nothing, so that a test decides what rows cost."""

    def note(self, *, rows: int, read: int, took_ms: float) -> None:
        """Keep what was said at the beginning."""


def test_what_followed_the_same_tokens_is_guessed_to_follow_again() -> None:
    speculation = Speculation([1, 2, 3, 4, 5, 9, 1, 2, 3])

    draft = speculation.draft(1, 3, CHEAP)

    assert draft == [4, 5, 9]


def test_the_newest_place_is_taken() -> None:
    speculation = Speculation([1, 2, 3, 4, 0, 1, 2, 3, 7, 0, 1, 2, 3])

    draft = speculation.draft(1, 1, CHEAP)

    assert draft == [7]


def test_nothing_is_guessed_where_nothing_was_seen() -> None:
    speculation = Speculation([1, 2, 3, 4])

    draft = speculation.draft(1, 8, CHEAP)

    assert draft == []


def test_nothing_is_guessed_where_a_row_costs_more_than_it_brings() -> None:
    speculation = Speculation([1, 2, 3, 4, 1, 2, 3])

    draft = speculation.draft(1, 8, DEAR)

    assert draft == []


def test_guessing_ends_after_wrong_guesses_and_is_tried_again_later() -> None:
    pace = Pace(Speeds(100.0, ((1, 1.0), (2, 1.3), (64, 20.0))))
    speculation = Speculation([1, 2, 3] * 4)
    began = bool(speculation.draft(1, 8, pace))

    for _ in range(8):
        speculation.judge(4, 0)
    after_failure = bool(speculation.draft(1, 8, pace))
    for _ in range(int(HOPE * 128)):
        speculation.draft(1, 8, pace)
    later = bool(speculation.draft(1, 8, pace))

    assert (began, after_failure, later) == (True, False, True)


def test_greedy_answers_are_the_same_with_and_without_guesses(
    engine: Engine, golden: tuple[Golden, ...]
) -> None:
    prompts = [engine.chat_tokens([Message("user", one.prompt)]) for one in golden]
    without = [finish(Batch(engine, _steady(DEAR)), [request("0", prompt)])["0"] for prompt in prompts]

    guessing = [finish(Batch(engine, _steady(CHEAP)), [request("0", prompt)])["0"] for prompt in prompts]

    assert equal(guessing, without) >= 0.97 * len(prompts)


def test_right_guesses_save_forward_steps() -> None:
    engine = open_variant(Variant("gguf-cpu", "agent.engines.llama_cpp"), slots=1)
    tokens = engine.chat_tokens([Message("user", QUOTE)])
    plain, guessing = Witness(engine), Witness(engine)

    finish(Batch(plain, _steady(DEAR)), [request("0", tokens)])
    finish(Batch(guessing, _steady(CHEAP)), [request("0", tokens)])

    engine.close()
    assert len(guessing.steps) < len(plain.steps)


def test_sampled_answers_with_a_seed_are_the_same_with_and_without_guesses() -> None:
    engine = open_variant(Variant("onnx-cpu-int4", "agent.engines.onnx_cpu"), slots=1)
    tokens = engine.chat_tokens([Message("user", QUOTE)])
    asked = replace(request("0", tokens), sampling=Sampling(temperature=0.7, seed=11))

    texts = [finish(Batch(engine, _steady(pace)), [asked])["0"] for pace in (DEAR, CHEAP)]

    engine.close()
    assert texts[0] == texts[1]


def _steady(pace: Pace) -> Pace:
    steady = Steady(None)
    steady._step_ms, steady._read_ms = dict(pace._step_ms), pace._read_ms
    return steady
