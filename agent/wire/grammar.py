"""What `response_format` asks for, judged at the door: a grammar that can be enforced, or a named refusal.

Beside the engine worker this is the only place that knows llguidance. It is loaded with the first grammar, so
that an agent which never sees one stays small.
"""

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from agent.wire.errors import UnsupportedSchema
from agent.wire.prompt import Grammar
from agent.wire.schema import fault_of

if TYPE_CHECKING:
    from llguidance import LLParserLimits, LLTokenizer

MAX_SCHEMA_BYTES = 65_536
MAX_REGEX_BYTES = 4096
JUDGEMENTS_KEPT = 32
"""A fleet sends few schemas, each of them often."""
LONGEST_REASON = 300

ANY_OBJECT: Final = Grammar("json_schema", '{"type":"object"}')

REASON = re.compile(r"error: (.*)|lookarounds not supported yet; (\w+)")
INTERNALS = re.compile(r"^at \d+\(\d+\): |:? *\(And .*|\n.*", re.DOTALL)


def schema_grammar(schema: dict[str, Any], param: str) -> Grammar:
    """Return the grammar of all JSON values that a schema allows, written without blanks.

    Raises:
        UnsupportedSchema: the schema is invalid, too large, or asks for what cannot be enforced.
    """
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    if (length := len(text.encode())) > MAX_SCHEMA_BYTES:
        raise UnsupportedSchema(
            f"the schema has {length} bytes; at most {MAX_SCHEMA_BYTES} can be enforced", param=param
        )
    if fault := fault_of(schema):
        raise UnsupportedSchema(f"at {fault.place} of the schema: {fault.reason}", param=param)
    return _judged(Grammar("json_schema", text), param)


def regex_grammar(regex: str, param: str) -> Grammar:
    """Return the grammar of all texts that a regular expression matches from end to end.

    Raises:
        UnsupportedSchema: the expression is invalid, too long, or asks for what cannot be enforced.
    """
    if (length := len(regex.encode())) > MAX_REGEX_BYTES:
        raise UnsupportedSchema(
            f"the regex has {length} bytes; at most {MAX_REGEX_BYTES} work here", param=param
        )
    return _judged(Grammar("regex", regex), param)


def definition(grammar: Grammar) -> str:
    """Return the grammar in the language of llguidance; agent and worker must understand it alike."""
    from llguidance import LLMatcher  # noqa: PLC0415 -- loaded with the first grammar only

    if grammar.kind == "regex":
        return LLMatcher.grammar_from_regex(grammar.text)
    # No blanks between the tokens of JSON: a model that likes blanks would never come to an end.
    return LLMatcher.grammar_from_json_schema(grammar.text, overrides={"whitespace_flexible": False})


def limits() -> "LLParserLimits":
    """Return what one grammar may cost; errors then name no internal state."""
    from llguidance import LLParserLimits  # noqa: PLC0415 -- as above

    return LLParserLimits(max_lexer_states=50_000, max_grammar_size=200_000, verbose_errors=False)


def plain(message: str) -> str:
    """Return a message of llguidance as a requester can use it: one line, without the parser's own state."""
    if "coerce_one_of" in message:
        return "the branches of keyword 'oneOf' may overlap; use anyOf"
    if "regex is empty" in message:
        return "pattern, format, minLength and maxLength together are too complex; drop one of them"
    if found := REASON.search(message):
        return f"regex: {found[1] or f'{found[2]} (a look-around or anchor) is not supported'}"
    return INTERNALS.sub("", message).removesuffix("<non-verbose/>").strip()[:LONGEST_REASON]


def _judged(grammar: Grammar, param: str) -> Grammar:
    if fault := _fault(grammar):
        raise UnsupportedSchema(f"this cannot be enforced: {fault}", param=param)
    return grammar


@lru_cache(maxsize=JUDGEMENTS_KEPT)
def _fault(grammar: Grammar) -> str:
    """Compile a grammar as the worker will, and take its first step; return why that fails, else nothing."""
    from llguidance import LLMatcher  # noqa: PLC0415 -- as above

    try:
        matcher = LLMatcher(_byte_tokenizer(), definition(grammar), log_level=0, limits=limits())
    except ValueError as error:  # JSON that this library reads more narrowly than we do
        return plain(str(error))
    if matcher.is_error():
        return plain(matcher.get_error())
    matcher.consume_tokens(matcher.compute_ff_tokens())
    matcher.compute_bitmask()
    if matcher.is_error():
        return f"it has no answer, or too many at once ({plain(matcher.get_error())})"
    # A warning names something that would not be enforced.
    return plain("".join(matcher.get_grammar_warnings()[:1]))


class _Bytes:
    """The smallest vocabulary that can say everything, in the form that `TokenizerWrapper` reads."""

    bos_token_id = None
    eos_token_id = 256
    tokens: Final = [*(bytes([byte]) for byte in range(256)), b"<end>"]
    special_token_ids: Final = [256]

    def __call__(self, text: str) -> list[int]:
        return list(text.encode())


@lru_cache(maxsize=1)
def _byte_tokenizer() -> "LLTokenizer":
    from llguidance import LLTokenizer, TokenizerWrapper  # noqa: PLC0415 -- as above

    return LLTokenizer(TokenizerWrapper(_Bytes()))
