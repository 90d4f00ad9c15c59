"""Owns the tokenizer and the chat layout: how a conversation becomes token ids, and which are learnt."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from demo_model import tasks

if TYPE_CHECKING:
    from demo_model.tasks import Example

VOCABULARY = 640
SPECIAL = ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
BOS_ID, END_ID = 0, 4
IGNORED = -100
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
_CORPUS_EXAMPLES = 40_000


def _corpus(seed: int) -> list[str]:
    rng = Random(seed)
    examples = [tasks.training_example(rng) for _ in range(_CORPUS_EXAMPLES)]
    return [f"{example.prompt}\n{example.answer}" for example in examples if example.task != "copy"]


def _byte_pairs(lines: list[str]) -> Tokenizer:
    """Train the merges; none crosses a space or a digit, so a copied word keeps its tokens."""
    tokenizer = Tokenizer(models.BPE())
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alone = pre_tokenizers.Split(Regex(r"[\s\d°%]"), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([alone, plain])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=plain.alphabet()
    )
    tokenizer.train_from_iterator(lines, trainer)
    # The plain splitter is the one llama.cpp calls "gpt-2"; without merges over spaces and digits
    # it yields the same tokens as the training splitter.
    tokenizer.pre_tokenizer = plain
    return tokenizer


def train_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Train the byte-level BPE on made-up examples and give it the chat layout."""
    return PreTrainedTokenizerFast(
        tokenizer_object=_byte_pairs(_corpus(seed)),
        bos_token=SPECIAL[BOS_ID],
        eos_token=SPECIAL[END_ID],
        pad_token=SPECIAL[BOS_ID],
        chat_template=TEMPLATE,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def prompt_text(prompt: str, system: str = "") -> str:
    """Lay out one prompt up to the place where the answer begins."""
    head = f"<|system|>\n{system}<|end|>\n" if system else ""
    return f"{head}<|user|>\n{prompt}<|end|>\n<|assistant|>\n"


def encode(tokenizer: Tokenizer, turns: list[Example], system: str = "") -> tuple[list[int], list[int]]:
    """Return the ids of a conversation and its labels: the next token inside answers, else ignored."""
    ids: list[int] = []
    labels: list[int] = []
    for turn in turns:
        head = ("\n" if ids else "") + prompt_text(turn.prompt, "" if ids else system)
        asked = tokenizer.encode(head).ids
        answered = [*tokenizer.encode(turn.answer).ids, END_ID]
        ids += asked + answered
        labels += [IGNORED] * (len(asked) - 1) + answered + [IGNORED]
    return ids, labels
