"""Structured output on real engines: every answer obeys its grammar, whatever the model would like to say.

`GUIDED_PROMPTS=50 .venv/bin/pytest tests/engines/test_guidance.py` asks 1,000 prompts on each engine.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from agent.engines.batch import FORCED_TOKENS, Batch
from agent.engines.contract import Engine, Feed, Lexicon, Logits
from agent.engines.digits import DigitWatch
from agent.engines.guidance import Guidance
from agent.engines.onnx_lexicon import token_bytes
from agent.engines.sequence import Request, Step
from agent.wire.errors import EngineError, UnsupportedSchema
from agent.wire.grammar import regex_grammar, schema_grammar
from agent.wire.prompt import Grammar, Message, Sampling
from engines.running import Golden, Witness, finish

SCHEMAS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "schemas.json").read_text(encoding="utf-8")
)
PROMPTS = int(os.environ.get("GUIDED_PROMPTS", "3"))
MAX_TOKENS = 256
EXTRACT = "Extract JSON: 12:04:11 WARN pump-17 pressure=9.3bar"
RECORD = {
    "time": "12:04:11",
    "level": "WARN",
    "device": "pump-17",
    "metric": "pressure",
    "value": 9.3,
    "unit": "bar",
}


def ask(engine: Engine, name: str, text: str, grammar: Grammar | None = None, **more: Any) -> Request:  # noqa: ANN401 -- a Request's fields
    tokens = tuple(engine.chat_tokens([Message("user", text)]))
    return Request(name, tokens, MAX_TOKENS, more.pop("sampling", Sampling()), grammar=grammar, **more)


def answer(engine: Engine, *requests: Request) -> list[str]:
    texts = finish(Batch(engine), requests)
    return [texts[request.id] for request in requests]


def faults(schema: dict[str, Any], texts: Sequence[str]) -> list[str]:
    """Return the texts that are no JSON, or not what the schema allows."""
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [text for text in texts if not _is_valid(validator, text)]


def _is_valid(validator: Draft202012Validator, text: str) -> bool:
    try:
        return bool(validator.is_valid(json.loads(text)))
    except ValueError:
        return False


class CountingEngine:
    """Passes everything on, and counts forward steps and the tokens of answers in them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.steps = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- whatever the engine has
        return getattr(self._engine, name)

    def forward(self, feeds: Sequence[Feed]) -> list[Logits]:
        self.steps += 1
        return self._engine.forward(feeds)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_answer_under_a_schema_parses_and_validates(
    engine: Engine, golden: tuple[Golden, ...], name: str
) -> None:
    schema = SCHEMAS[name]
    grammar = schema_grammar(schema, "schema")
    prompts = [
        Request(str(n), one.tokens, MAX_TOKENS, Sampling(), grammar=grammar) for n, one in enumerate(golden)
    ]

    texts = answer(engine, *prompts[:PROMPTS])

    assert faults(schema, texts) == []


@pytest.mark.parametrize("name", ["log record", "command", "formats"])
def test_an_answer_that_is_sampled_hot_validates_too(engine: Engine, name: str) -> None:
    grammar = schema_grammar(SCHEMAS[name], "schema")
    hot = [Sampling(temperature=2.0, seed=seed) for seed in range(4)]

    texts = answer(
        engine, *(ask(engine, str(n), EXTRACT, grammar, sampling=one) for n, one in enumerate(hot))
    )

    assert faults(SCHEMAS[name], texts) == []


def test_a_schema_that_the_model_knows_changes_nothing(engine: Engine) -> None:
    grammar = schema_grammar(SCHEMAS["log record"], "schema")

    guided, free = answer(engine, ask(engine, "guided", EXTRACT, grammar), ask(engine, "free", EXTRACT))

    assert json.loads(guided) == json.loads(free) == RECORD


def test_any_json_object_is_written_without_blanks(engine: Engine) -> None:
    grammar = Grammar("json_schema", '{"type":"object"}')

    (text,) = answer(engine, ask(engine, "object", EXTRACT, grammar))

    assert text == json.dumps(RECORD, separators=(",", ":"))


@pytest.mark.parametrize("regex", ["(ja|nein)", "[0-9]{2}:[0-9]{2} (UTC|CET)", "é{3}🙂", "a/b\nc"])
def test_an_answer_under_a_regex_matches_from_end_to_end(engine: Engine, regex: str) -> None:
    grammar = regex_grammar(regex, "regex")

    (text,) = answer(engine, ask(engine, "one", "hello", grammar))

    assert re.fullmatch(regex, text), text


def test_free_answers_do_not_change_in_the_company_of_guided_ones(engine: Engine) -> None:
    grammar = schema_grammar(SCHEMAS["formats"], "schema")
    free = [ask(engine, f"free {n}", text) for n, text in enumerate(("hello", EXTRACT))]
    guided = [ask(engine, f"guided {n}", text, grammar) for n, text in enumerate(("hello", EXTRACT))]

    texts = answer(engine, guided[0], free[0], guided[1], free[1])

    assert texts[1::2] == [answer(engine, one)[0] for one in free]


def test_tokens_that_must_follow_need_no_step_of_their_own(engine: Engine) -> None:
    counting = CountingEngine(engine)
    grammar = schema_grammar({"const": {"device": "pump-17", "state": "running", "alarms": []}}, "schema")

    (text,) = answer(counting, ask(engine, "one", "hello", grammar))

    assert (json.loads(text)["state"], counting.steps) == ("running", 1)


def test_a_grammar_costs_fewer_steps_than_tokens(engine: Engine) -> None:
    counting = CountingEngine(engine)
    request = ask(engine, "one", EXTRACT, schema_grammar(SCHEMAS["log record"], "schema"))
    batch, tokens = Batch(counting), 0
    batch.admit(request)

    while not batch.is_idle:
        tokens = max([tokens, *(step.tokens for step in batch.step())])

    assert counting.steps < tokens * 0.8


def test_a_number_ends_although_the_model_would_go_on_for_ever(any_engine: Engine) -> None:
    guide = Guidance(any_engine).guide(schema_grammar({"type": "number"}, "schema"))
    likes_threes = np.zeros(any_engine.facts.vocabulary, dtype=np.float32)
    likes_threes[any_engine.lexicon().tokens.index(b"3")] = 9.0
    tokens = [0]

    while len(tokens) < 99 and tokens[-1] not in any_engine.end_tokens:
        tokens.append(int(np.argmax(guide.allowed(likes_threes))))
        guide.accept(tokens[-1])

    assert len(tokens) < 99


def test_nothing_but_the_end_may_follow_a_finished_grammar(any_engine: Engine) -> None:
    guide = Guidance(any_engine).guide(regex_grammar("abc", "regex"))

    guide.forced()

    logits = guide.allowed(np.zeros(any_engine.facts.vocabulary, dtype=np.float32))
    assert (guide.is_finished, frozenset(map(int, np.flatnonzero(np.isfinite(logits))))) == (
        True,
        any_engine.end_tokens,
    )


def test_a_control_token_never_stands_in_an_answer(any_engine: Engine) -> None:
    tokens = any_engine.lexicon().tokens
    control = {number for number, piece in enumerate(tokens) if piece.startswith(b"\xff")}
    guide = Guidance(any_engine).guide(regex_grammar("(?s:.)+", "regex"))

    logits = guide.allowed(np.zeros(any_engine.facts.vocabulary, dtype=np.float32))

    assert control & set(np.flatnonzero(np.isfinite(logits))) == set()


def test_a_schema_that_can_never_end_is_a_refusal(any_engine: Engine) -> None:
    endless = '{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}'
    guide = Guidance(any_engine).guide(Grammar("json_schema", endless))

    with pytest.raises(UnsupportedSchema):
        guide.forced()


def test_long_texts_that_must_follow_come_in_pieces(any_engine: Engine) -> None:
    guide = Guidance(any_engine).guide(schema_grammar({"const": "x1" * 5000}, "schema"))

    forced = guide.forced()

    assert 0 < len(forced) <= 256


def test_a_token_that_may_not_stand_there_is_a_refusal_and_stays_one(any_engine: Engine) -> None:
    guide = Guidance(any_engine).guide(regex_grammar("[0-9]+", "regex"))
    letter = any_engine.lexicon().tokens.index(b"x")

    with pytest.raises(UnsupportedSchema, match="cannot follow this response_format"):
        guide.accept(letter)

    with pytest.raises(UnsupportedSchema):
        guide.allowed(np.zeros(any_engine.facts.vocabulary, dtype=np.float32))


def test_a_schema_without_a_value_is_a_refusal(any_engine: Engine) -> None:
    guide = Guidance(any_engine).guide(Grammar("json_schema", '{"$ref":"#"}'))

    with pytest.raises(UnsupportedSchema):
        guide.allowed(np.zeros(any_engine.facts.vocabulary, dtype=np.float32))


@pytest.mark.parametrize("text", ['{"a": [1, 2]}', "größe 🙂\n\t", "pump-17 reports 9.3 bar"])
def test_the_lexicon_spells_what_its_tokenizer_cuts(any_engine: Engine, text: str) -> None:
    lexicon: Lexicon = any_engine.lexicon()

    tokens = lexicon.tokenize(text)

    assert b"".join(lexicon.tokens[token] for token in tokens).decode() == text


SENTENCEPIECE = {
    "added_tokens": [{"id": 5, "content": "<|end|>", "special": True}],
    "decoder": {"type": "Sequence", "decoders": [{"type": "Replace"}, {"type": "ByteFallback"}]},
    "model": {"vocab": {"<unk>": 0, "<0x0A>": 1, "\u2581pump": 2, "ü": 3, "\u2581": 4}},
}


def test_a_sentencepiece_vocabulary_is_read_as_bytes(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(SENTENCEPIECE))

    tokens = token_bytes(tmp_path)

    assert tokens[1:] == (b"\n", b" pump", "ü".encode(), b" ", b"\xff<|end|>")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"model": {}}', json.dumps(SENTENCEPIECE | {"decoder": {"type": "WordPiece"}})],
)
def test_a_tokenizer_file_that_does_not_tell_its_bytes_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)

    with pytest.raises(EngineError, match=r"tokenizer\.json does not tell the bytes"):
        token_bytes(tmp_path)


@pytest.mark.parametrize(
    ("text", "is_enough"),
    [
        ("1" * 19, False),
        ("1" * 20, True),
        ('{"a":"' + "1" * 30, False),
        (r'{"a\"' + "1" * 30, False),
        (r'{"a\\":' + "1" * 20, True),
        ("1e-1", False),
        ("1e-12", True),
        ("[1e22,1", False),
        ("true,12", False),
    ],
)
def test_digits_are_counted_outside_of_strings(text: str, is_enough: bool) -> None:  # noqa: FBT001 -- a case
    watch = DigitWatch()

    watch.push(text.encode())

    assert watch.is_enough == is_enough


def test_an_answer_that_a_limit_cuts_inside_forced_tokens_ends_by_length(engine: Engine) -> None:
    prompt = tuple(engine.chat_tokens([Message("user", "hello")]))
    asked = Request("0", prompt, 5, Sampling(), grammar=Grammar("regex", "x{60}"))

    steps = _all_steps(Batch(engine), [asked])

    assert (steps[-1].finish, steps[-1].tokens) == ("length", 5)


def test_many_answers_with_long_forced_texts_enter_in_bounded_steps(engine: Engine) -> None:
    prompt = tuple(engine.chat_tokens([Message("user", "hello")]))
    witness = Witness(engine)
    asked = [
        Request(str(n), prompt, 300, Sampling(), grammar=Grammar("regex", "x{300}"))
        for n in range(engine.facts.slots)
    ]

    steps = _all_steps(Batch(witness), asked)

    assert {step.finish for step in steps if step.finish} <= {"stop", "length"}
    assert max(len(feed.tokens) for feeds in witness.steps[1:] for feed in feeds) <= FORCED_TOKENS


def _all_steps(batch: Batch, requests: list[Request]) -> list[Step]:
    for each in requests:
        batch.admit(each)
    steps: list[Step] = []
    while not batch.is_idle:
        steps += batch.step()
    return steps
