"""The Merkle tree of RFC 6962, 2.1: its hashes, roots and proofs, over any store of nodes.

A *node* is the hash of a whole subtree: node (level, number) covers 2^level leaves, from number *
2^level on. Only those are ever kept. They never change while the tree grows, and everything else
is made of at most one of each level. `read(level, number)` returns such a node of 32 bytes; which
table or list it comes from is the caller's.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()

Read = Callable[[int, int], bytes]

_MADE_ANEW = 8  # levels below a node that is missing, of which it may be made
_NO_HASH = bytes(HASH_SIZE)


class ProofError(ValueError):
    """A proof does not prove what it is said to prove."""


class Node(NamedTuple):
    """The hash of one whole subtree, 32 bytes."""

    level: int
    number: int
    hash: bytes


class Frontier:
    """The right edge of a tree: what it takes to let it grow, at most one hash of each level.

    size: how many leaves it begins with; read: gives their whole subtrees.
    """

    def __init__(self, size: int = 0, read: Read | None = None) -> None:
        self.size = size
        self._edge: dict[int, bytes] = {}
        for level in range(size.bit_length()):
            if read is not None and size >> level & 1:
                self._edge[level] = read(level, (size >> level) - 1)

    def append(self, leaf: bytes) -> list[Node]:
        """Let the hash of an entry join; return the nodes that become whole, as `appended` does."""
        nodes = appended(self.size, leaf, lambda level, _: self._edge[level])
        for node in nodes[:-1]:
            del self._edge[node.level]
        self._edge[nodes[-1].level] = nodes[-1].hash
        self.size += 1
        return nodes

    def root(self) -> bytes:
        """Return the root of all leaves so far, 32 bytes."""
        lowest, *others = [self._edge[level] for level in sorted(self._edge)] or [EMPTY_ROOT]
        for whole in others:
            lowest = node_hash(whole, lowest)
        return lowest


def leaf_hash(content: bytes) -> bytes:
    """Return the hash of an entry, 32 bytes. RFC 6962, 2.1."""
    return sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash over two hashes, 32 bytes. RFC 6962, 2.1."""
    return sha256(b"\x01" + left + right).digest()


def appended(size: int, leaf: bytes, read: Read) -> list[Node]:
    """Return the nodes that become whole when the hash `leaf` joins a tree of `size` leaves.

    The first one is the leaf itself, at level 0; at most one of each level follows.
    """
    nodes = [Node(0, size, leaf)]
    while nodes[-1].number % 2:
        level, number, right = nodes[-1]
        nodes.append(Node(level + 1, number // 2, node_hash(read(level, number - 1), right)))
    return nodes


def extended(size: int, leaves: Iterable[bytes], read: Read) -> list[Node]:
    """Return the nodes that become whole when those hashes join a tree of `size` leaves."""
    new: dict[tuple[int, int], bytes] = {}

    def known(level: int, number: int) -> bytes:
        return new.get((level, number)) or read(level, number)

    for number, leaf in enumerate(leaves, size):
        new |= {(node.level, node.number): node.hash for node in appended(number, leaf, known)}
    return [Node(*at, found) for at, found in new.items()]


def mended(kept: Callable[[int, int], bytes | None]) -> Read:
    """Return what reads nodes by `kept`, and makes those of others for which that gives None.

    A leaf that is missing is 32 zero bytes, and so is all that would be made of more than 256
    nodes: a size that somebody made up must not make a reader ask for each leaf.
    """

    def read(level: int, number: int, deeper: int = _MADE_ANEW) -> bytes:
        found = kept(level, number)
        if found is not None:
            return found
        if not level or not deeper:
            return _NO_HASH
        below = (read(level - 1, 2 * number + side, deeper - 1) for side in (0, 1))
        return node_hash(*below)

    return read


def root(size: int, read: Read) -> bytes:
    """Return the root of the first `size` leaves, 32 bytes."""
    return _hash(0, size, read) if size else EMPTY_ROOT


def inclusion(index: int, size: int, read: Read) -> list[bytes]:
    """Return the audit path of leaf `index` in the first `size` leaves. RFC 6962, 2.1.1."""
    if not 0 <= index < size:
        raise ValueError("no such leaf")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_hash(middle, end, read))
            end = middle
        else:
            path.append(_hash(start, middle, read))
            start = middle
    return path[::-1]


def consistency(old: int, size: int, read: Read) -> list[bytes]:
    """Return the proof that the first `old` leaves begin the first `size`. RFC 6962, 2.1.2."""
    if not 0 <= old <= size:
        raise ValueError("no such tree")
    if old in (0, size):
        return []
    path: list[bytes] = []
    start, end, is_old = 0, size, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_hash(middle, end, read))
            end = middle
        else:
            path.append(_hash(start, middle, read))
            start, is_old = middle, False
    if not is_old:
        path.append(_hash(start, end, read))
    return path[::-1]


def root_by_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """Return the root that an audit path leads to from the hash `leaf`. Raises ProofError."""
    if not 0 <= index < size:
        raise ProofError("no such leaf")
    left = list(path)
    found = _climb(index, size - 1, leaf, left)
    if left:
        raise ProofError("the path is too long")
    return found


def check_consistency(
    old: int, size: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Check that the tree of `old` leaves is the beginning of that of `size`. Raises ProofError."""
    if not 0 <= old <= size:
        raise ProofError("no such tree")
    if old in (0, size):
        known = EMPTY_ROOT if old == 0 else new_root
        if path or old_root != known:
            raise ProofError("the roots differ")
        return
    left = list(path)
    # the last whole subtree of the old tree; where it is the whole of it, its root is known
    number, last = old - 1, size - 1
    while number % 2:
        number, last = number // 2, last // 2
    seed = old_root if number == 0 else _next(left)
    before = after = seed
    while last:
        if number % 2:
            sibling = _next(left)
            before, after = node_hash(sibling, before), node_hash(sibling, after)
        elif number < last:
            after = node_hash(after, _next(left))
        number, last = number // 2, last // 2
    if left or (before, after) != (old_root, new_root):
        raise ProofError("the roots differ")


def _climb(number: int, last: int, found: bytes, path: list[bytes]) -> bytes:
    while last:
        if number % 2:
            found = node_hash(_next(path), found)
        elif number < last:
            found = node_hash(found, _next(path))
        number, last = number // 2, last // 2
    return found


def _next(path: list[bytes]) -> bytes:
    if not path:
        raise ProofError("the path is too short")
    hash_ = path.pop(0)
    if len(hash_) != HASH_SIZE:
        raise ProofError("a hash has another length")
    return hash_


def _split(count: int) -> int:
    """Return the largest power of two below `count`, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1


def _hash(start: int, end: int, read: Read) -> bytes:
    """Return the hash over leaves `start` to `end`; `start` is where a subtree begins."""
    count = end - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return read(level, start >> level)
    middle = start + _split(count)
    return node_hash(_hash(start, middle, read), _hash(middle, end, read))
