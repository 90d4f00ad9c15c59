"""Equal prompt beginnings are computed once: a radix tree over token ids; the oldest leaves go first.

The tree knows what is kept; an engine's shelf holds the keys and values (the idea of RadixAttention,
arXiv:2312.07104, section 3).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agent.engines.contract import Shelf


@dataclass(slots=True, eq=False)
class Node:
    """Tokens from position `start` on, after those of its parent; the root has none."""

    start: int
    tokens: tuple[int, ...]
    segment: int
    parent: "Node | None"
    children: dict[int, "Node"] = field(default_factory=dict)
    """By their first token."""
    used: int = 0

    @property
    def stop(self) -> int:
        """The position after the last token."""
        return self.start + len(self.tokens)

    @property
    def path(self) -> Iterator["Node"]:
        """Nodes from here up to the root, without it."""
        node: Node | None = self
        while node and node.parent:
            yield node
            node = node.parent


class PrefixCache:
    """What is kept of earlier sequences. Without a shelf it keeps nothing."""

    def __init__(self, shelf: Shelf | None) -> None:
        self._shelf = shelf
        self._root = Node(0, (), 0, None)
        self._nodes: set[Node] = set()
        self._clock = 0
        self.held_tokens = 0

    def match(self, tokens: Sequence[int]) -> int:
        """Return how many of the first tokens are kept."""
        return self._find(tokens)[1]

    def restore(self, tokens: Sequence[int], slot: int) -> int:
        """Give an empty slot what is kept of these tokens; return how many that are.

        The slot may get more than that, up to the end of a segment: truncate it.
        """
        node, length = self._find(tokens)
        if self._shelf:
            for each in reversed(list(node.path)):
                self._shelf.restore(each.segment, slot)
        self._touch(node)
        return length

    def insert(self, tokens: Sequence[int], slot: int) -> None:
        """Keep what a slot holds of these tokens, as far as there is room."""
        if self._shelf is None:
            return
        node, length = self._find(tokens)
        self._touch(node)
        if length == len(tokens) or not self._make_room(self._shelf, len(tokens) - length, node):
            return
        if length < node.stop:
            self._split(self._shelf, node, length)
        stop = min(len(tokens), length + self._shelf.tokens - self.held_tokens)
        if stop > length:
            leaf = Node(length, tuple(tokens[length:stop]), self._shelf.keep(slot, length, stop), node)
            self._add(node, leaf)
            self.held_tokens += len(leaf.tokens)
            self._touch(leaf)

    def _find(self, tokens: Sequence[int]) -> tuple[Node, int]:
        """Return the last node that shares tokens with these, and how many are shared in all."""
        node, length = self._root, 0
        while length < len(tokens) and length == node.stop:
            child = node.children.get(tokens[length])
            if child is None:
                break
            node = child
            length += common_length(child.tokens, tokens[length : child.stop])
        return node, length

    def _make_room(self, shelf: Shelf, tokens: int, keeping: Node) -> bool:
        """Drop the oldest leaves until the tokens and two segments fit; tell whether anything fits."""
        kept = set(keeping.path)
        while self.held_tokens + tokens > shelf.tokens or len(self._nodes) + 2 > shelf.segments:
            leaves = [node for node in self._nodes if not node.children and node not in kept]
            if not leaves:
                break
            self._drop(shelf, min(leaves, key=lambda leaf: leaf.used))
        return self.held_tokens < shelf.tokens and len(self._nodes) + 2 <= shelf.segments

    def _split(self, shelf: Shelf, node: Node, at: int) -> None:
        """Cut a node before position `at`; the later part becomes its only child."""
        inside = at - node.start
        later = Node(at, node.tokens[inside:], shelf.split(node.segment, at), node, node.children, node.used)
        for child in later.children.values():
            child.parent = later
        node.tokens, node.children = node.tokens[:inside], {}
        self._add(node, later)

    def _add(self, parent: Node, child: Node) -> None:
        parent.children[child.tokens[0]] = child
        self._nodes.add(child)

    def _drop(self, shelf: Shelf, leaf: Node) -> None:
        shelf.drop(leaf.segment)
        self._nodes.remove(leaf)
        self.held_tokens -= len(leaf.tokens)
        if leaf.parent:
            del leaf.parent.children[leaf.tokens[0]]

    def _touch(self, node: Node) -> None:
        self._clock += 1
        for each in node.path:
            each.used = self._clock


def common_length(these: Sequence[int], those: Sequence[int]) -> int:
    """Return how many first tokens are the same."""
    pairs = zip(these, those, strict=False)
    return next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(these), len(those)))
