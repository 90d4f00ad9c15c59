"""Renders a model's own chat template. A template is part of an untrusted file: it runs in a sandbox only."""

from collections.abc import Sequence
from typing import NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from agent.wire.errors import EngineError
from agent.wire.prompt import Message


class ChatTemplate:
    """One compiled template, with the names that templates on the hub expect."""

    def __init__(self, source: str, *, bos: str, eos: str) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise EngineError(f"the model's chat template is broken: {error}") from error
        self._names = {"bos_token": bos, "eos_token": eos, "raise_exception": _refuse}

    def render(self, messages: Sequence[Message]) -> str:
        """Return the prompt text up to where the assistant's answer begins.

        Raises:
            EngineError: the template refuses these messages.
        """
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return self._template.render(messages=turns, add_generation_prompt=True, **self._names)
        except Exception as error:  # border: a template from a file may fail in any way
            raise EngineError(f"the model's chat template refuses these messages: {error}") from error


def _refuse(reason: str) -> NoReturn:
    raise TemplateError(reason)
