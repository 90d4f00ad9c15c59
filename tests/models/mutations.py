"""Ways in which a file goes wrong, chosen by a seeded generator."""

import random
import struct
from collections.abc import Callable, Iterator

EDGES = (0, 1, 0x7F, 0x80, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFC0, (1 << 63) - 1, (1 << 64) - 1)
Mutation = Callable[[random.Random, bytearray], None]


def mutants(original: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield copies of `original`, each with one to four changes."""
    chance = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    for _ in range(count):
        content = bytearray(original)
        for _ in range(chance.randint(1, 4)):
            chance.choice(MUTATIONS)(chance, content)
        yield bytes(content)


def _flip(chance: random.Random, content: bytearray) -> None:
    if content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _overwrite(chance: random.Random, content: bytearray) -> None:
    at, size = chance.randrange(len(content) + 1), chance.randint(1, 16)
    content[at : at + size] = chance.randbytes(size)


def _put_number(chance: random.Random, content: bytearray) -> None:
    at, value = chance.randrange(len(content) + 1), chance.choice(EDGES)
    raw = struct.pack("<Q", value)[: chance.choice((1, 2, 4, 8))]
    content[at : at + len(raw)] = raw


def _insert(chance: random.Random, content: bytearray) -> None:
    at = chance.randrange(len(content) + 1)
    content[at:at] = chance.randbytes(chance.randint(1, 16))


def _remove(chance: random.Random, content: bytearray) -> None:
    at = chance.randrange(len(content) + 1)
    del content[at : at + chance.randint(1, 64)]


def _repeat(chance: random.Random, content: bytearray) -> None:
    at, size = chance.randrange(len(content) + 1), chance.randint(1, 256)
    content[at:at] = content[at : at + size]


def _cut(chance: random.Random, content: bytearray) -> None:
    if chance.random() < 0.2:  # few changes are seen behind a cut
        del content[chance.randrange(len(content) + 1) :]


MUTATIONS: tuple[Mutation, ...] = (_flip, _overwrite, _put_number, _insert, _remove, _repeat, _cut)
