"""From text to tokens and back, with every engine that can run here."""

from agent.engines.contract import Engine
from agent.wire.errors import EngineError
from agent.wire.prompt import Message
from engines.running import Golden

WRITINGS = "pump-17 🙂 61 °C, naïve e\u0301, 日本語, 👩‍👩‍👧, two  spaces\n"


def test_the_chat_template_gives_the_tokens_of_hugging_face(
    engine: Engine, golden: tuple[Golden, ...]
) -> None:
    chats = [[Message("user", one.prompt)] for one in golden]

    tokens = [tuple(engine.chat_tokens(chat)) for chat in chats]

    assert tokens == [one.tokens for one in golden]


def test_a_nul_character_never_shortens_a_prompt_silently(engine: Engine) -> None:
    try:
        tokens = engine.chat_tokens([Message("user", "one\0two")])
    except EngineError:
        return

    assert len(tokens) > len(engine.chat_tokens([Message("user", "one")]))


def test_pieces_of_an_answer_never_cut_a_character(any_engine: Engine) -> None:
    detokenizer = any_engine.detokenizer()

    pieces = [detokenizer.push(token) for token in any_engine.text_tokens(WRITINGS)]

    assert "".join(pieces) + detokenizer.rest() == WRITINGS
    assert "\ufffd" not in "".join(pieces)
