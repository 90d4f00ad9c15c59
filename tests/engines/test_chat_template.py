import pytest

from agent.engines.chat_template import ChatTemplate
from agent.wire.errors import EngineError
from agent.wire.prompt import Message

HELLO = [Message("user", "hello")]


def render(source: str, messages: list[Message] | None = None) -> str:
    return ChatTemplate(source, bos="<s>", eos="</s>").render(messages or HELLO)


def test_a_template_sees_roles_contents_and_special_tokens() -> None:
    source = (
        "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m.content }}{{ eos_token }}{% endfor %}"
    )

    text = render(source, [Message("system", "be brief"), Message("user", "hello")])

    assert text == "<s>[system]be brief</s>[user]hello</s>"


def test_a_template_is_asked_for_the_beginning_of_the_answer() -> None:
    source = "{% if add_generation_prompt %}<|assistant|>{% endif %}"

    text = render(source)

    assert text == "<|assistant|>"


def test_blocks_leave_no_blank_lines_as_in_transformers() -> None:
    source = "{% for m in messages %}\n  {% if true %}\n{{ m.content }}\n  {% endif %}\n{% endfor %}\n"

    text = render(source)

    assert text == "hello\n"


def test_what_a_user_writes_is_not_a_template() -> None:
    message = Message("user", "{{ 7 * 7 }}{% raw %}")

    text = render("{{ messages[0].content }}", [message])

    assert text == "{{ 7 * 7 }}{% raw %}"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ''['__class__']['__mro__'] }}",
        "{{ (messages | attr('__class__')).__base__.__subclasses__() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(role='system') }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(source: str) -> None:
    template = ChatTemplate(source, bos="", eos="")

    with pytest.raises(EngineError, match="refuses these messages"):
        template.render(HELLO)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ raise_exception.__globals__ }}",
        "{{ ('{0.__class__}' | attr('format'))(messages) }}",
    ],
)
def test_what_a_template_must_not_see_is_empty(source: str) -> None:
    text = render(source)

    assert not text


@pytest.mark.parametrize("source", ["{% for %}", "{{ messages", "{% nonsense %}", "{{ x | no_such_filter }}"])
def test_a_broken_template_is_an_engine_error(source: str) -> None:
    with pytest.raises(EngineError, match="template is broken"):
        ChatTemplate(source, bos="", eos="")


def test_a_template_may_refuse_and_say_why() -> None:
    source = "{{ raise_exception('roles must alternate') }}"

    with pytest.raises(EngineError, match="roles must alternate"):
        render(source)


@pytest.mark.parametrize("source", ["{{ 1 // 0 }}", "{{ range(10 ** 9) | list }}", "{{ missing.deeper }}"])
def test_a_template_that_fails_is_an_engine_error(source: str) -> None:
    with pytest.raises(EngineError, match="refuses these messages"):
        render(source)
