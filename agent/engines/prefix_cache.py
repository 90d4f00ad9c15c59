"""Equal prompt beginnings are computed once: a radix tree over token ids; the oldest leaves go first.

The tree knows what is kept; an engine's shelf holds the keys and values (the idea of RadixAttention,
arXiv:2312.07104, section 3).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agent.engines.allowance import Allowance, common_length
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
        self._allowance = Allowance(shelf)
        self._root = Node(0, (), 0, None)
        self._nodes: set[Node] = set()
        self._clock = 0

    def match(self, tokens: Sequence[int]) -> int:
        """Return how many of the first tokens are kept."""
        return self._find(tokens)[1]

    def has_room_for(self, tokens: int) -> bool:
        """Tell whether a whole prompt of this length can be kept."""
        return self._shelf is not None and self._shelf.cost(0, tokens) <= self._allowance.tokens

    def expect(self, tokens: tuple[int, ...]) -> int:
        """Hear of a prompt that will be read; return how many of its first tokens are kept."""
        length = self.match(tokens)
        self._allowance.learn(tokens, length)
        return length

    def restore(self, tokens: Sequence[int], slot: int) -> int:
        """Give an empty slot what is kept of a prompt; return how many tokens that are.

        The slot may get more than that: truncate it.
        """
        node, length = self._find(tokens)
        if self._shelf and length:
            self._shelf.restore([each.segment for each in reversed(list(node.path))], slot)
            self._touch(node)
        return length

    def insert(self, tokens: Sequence[int], slot: int) -> None:
        """Keep what a slot holds of these tokens, if it is worth it and there is room."""
        shelf, (node, length) = self._shelf, self._find(tokens)
        self._touch(node)
        if shelf is None or len(tokens) - length < shelf.least_tokens(length):
            return
        if not self._make_room(shelf, shelf.cost(length, len(tokens)), node):
            return
        if length < node.stop:
            self._split(shelf, node, length)
        leaf = Node(length, tuple(tokens[length:]), shelf.keep(slot, length, len(tokens)), node)
        self._add(node, leaf)
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
        """Drop the oldest leaves until the tokens and two segments fit; tell whether they do."""
        kept, allowed = set(keeping.path), self._allowance.tokens

        def is_tight() -> bool:
            return shelf.held_tokens + tokens > allowed or len(self._nodes) + 2 > shelf.segments

        while is_tight():
            leaves = [node for node in self._nodes if not node.children and node not in kept]
            if tokens > allowed or not leaves:
                return False
            for leaf in sorted(leaves, key=lambda node: node.used):
                if is_tight():
                    self._drop(shelf, leaf)
        return True

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
        if leaf.parent:
            del leaf.parent.children[leaf.tokens[0]]

    def _touch(self, node: Node) -> None:
        self._clock += 1
        for each in node.path:
            each.used = self._clock
