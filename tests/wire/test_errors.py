"""The codes and statuses of the wire contract, which never change once shipped."""

import pytest

from agent.wire.errors import AgentError, ConfigError, Internal, PromptError, by_code

CONTRACT = {
    "invalid_json": 400,
    "invalid_field": 400,
    "unknown_operation": 400,
    "context_length_exceeded": 400,
    "unsupported_schema": 400,
    "rate_limited": 429,
    "model_not_found": 404,
    "expired": 408,
    "timeout": 408,
    "conflict": 409,
    "payload_too_large": 413,
    "unsupported_content_type": 415,
    "cancelled": 499,
    "internal": 500,
    "engine_crashed": 500,
    "out_of_memory": 500,
    "queue_full": 503,
    "deadline_unreachable": 503,
    "engine_unavailable": 503,
    "stopping": 503,
}


def test_codes_and_statuses_are_those_of_the_contract() -> None:
    kinds = PromptError.__subclasses__()

    table = {kind.code: kind.status for kind in kinds}

    assert table == CONTRACT


@pytest.mark.parametrize("code", CONTRACT)
def test_a_code_leads_back_to_its_error(code: str) -> None:
    kind = by_code(code)

    assert kind.code == code


def test_an_unknown_code_is_an_internal_error() -> None:
    kind = by_code("from the future")

    assert kind is Internal


@pytest.mark.parametrize("kind", PromptError.__subclasses__())
def test_every_prompt_error_says_a_sentence_without_being_given_one(kind: type[PromptError]) -> None:
    error = kind()

    assert error.message.endswith(".")


def test_an_agent_error_says_its_docstring_unless_it_knows_better() -> None:
    errors = (AgentError(), ConfigError("the file is gone"))

    sentences = [str(error) for error in errors]

    assert sentences == ["promptd cannot continue.", "the file is gone"]
