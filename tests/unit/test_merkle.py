"""The tree against the published vectors of RFC 6962, and against its definition."""

from hashlib import sha256

import pytest
from fanal import merkle
from fanal.merkle import ProofError
from hypothesis import given
from hypothesis import strategies as st

# the leaves, roots and proofs of the test data of Certificate Transparency
LEAVES = [
    bytes.fromhex(text) for text in
    ("", "00", "10", "2021", "3031", "40414243", "5051525354555657",
     "606162636465666768696a6b6c6d6e6f")
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


class Tree:
    """A tree that keeps its nodes in a dictionary, as a store would."""

    def __init__(self, contents=()):
        self.nodes, self.size = {}, 0
        for content in contents:
            self.append(content)

    def append(self, content):
        for level, number, found in merkle.appended(
            self.size, merkle.leaf_hash(content), self.read
        ):
            assert (level, number) not in self.nodes
            self.nodes[level, number] = found
        self.size += 1

    def read(self, level, number):
        return self.nodes[level, number]


def naive(contents):
    """MTH(D[n]) as RFC 6962, 2.1 writes it."""
    if not contents:
        return sha256(b"").digest()
    if len(contents) == 1:
        return sha256(b"\x00" + contents[0]).digest()
    k = 1
    while 2 * k < len(contents):
        k *= 2
    return sha256(b"\x01" + naive(contents[:k]) + naive(contents[k:])).digest()


def naive_path(m, contents):
    """PATH(m, D[n]) as RFC 6962, 2.1.1 writes it."""
    if len(contents) == 1:
        return []
    k = 1
    while 2 * k < len(contents):
        k *= 2
    if m < k:
        return [*naive_path(m, contents[:k]), naive(contents[k:])]
    return [*naive_path(m - k, contents[k:]), naive(contents[:k])]


def naive_proof(m, contents, is_whole=True):
    """SUBPROOF(m, D[n], b) as RFC 6962, 2.1.2 writes it."""
    if m == len(contents):
        return [] if is_whole else [naive(contents)]
    k = 1
    while 2 * k < len(contents):
        k *= 2
    if m <= k:
        return [*naive_proof(m, contents[:k], is_whole), naive(contents[k:])]
    return [*naive_proof(m - k, contents[k:], False), naive(contents[:k])]


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size):
    tree = Tree(LEAVES)
    assert merkle.root(size, tree.read).hex() == ROOTS[size]
    assert merkle.root(size, Tree(LEAVES[:size]).read).hex() == ROOTS[size]


@pytest.mark.parametrize(("asked", "path"), INCLUSION.items())
def test_published_inclusion_proofs(asked, path):
    index, size = asked
    assert [h.hex() for h in merkle.inclusion(index, size, Tree(LEAVES).read)] == path
    leaf = merkle.leaf_hash(LEAVES[index])
    found = merkle.root_by_inclusion(index, size, leaf, [bytes.fromhex(h) for h in path])
    assert found.hex() == ROOTS[size]


@pytest.mark.parametrize(("asked", "path"), CONSISTENCY.items())
def test_published_consistency_proofs(asked, path):
    old, size = asked
    assert [h.hex() for h in merkle.consistency(old, size, Tree(LEAVES).read)] == path
    roots = (bytes.fromhex(ROOTS[n]) for n in asked)
    merkle.check_consistency(old, size, *roots, [bytes.fromhex(h) for h in path])


contents = st.lists(st.binary(max_size=3), min_size=1, max_size=40)


@given(contents, st.data())
def test_it_is_the_tree_of_the_definition(held, data):
    tree = Tree(held)
    size = data.draw(st.integers(1, len(held)))
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    first = held[:size]
    assert merkle.root(size, tree.read) == naive(first)
    path = merkle.inclusion(index, size, tree.read)
    assert path == naive_path(index, first)
    leaf = merkle.leaf_hash(held[index])
    assert merkle.root_by_inclusion(index, size, leaf, path) == naive(first)
    proof = merkle.consistency(old, size, tree.read)
    assert proof == naive_proof(old, first)
    merkle.check_consistency(old, size, naive(held[:old]), naive(first), proof)


@given(st.integers(1, 33), st.data())
def test_a_changed_proof_proves_nothing(size, data):
    held = [bytes([n]) for n in range(size)]
    tree, root = Tree(held), naive(held)
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    leaf = merkle.leaf_hash(held[index])
    old_root = naive(held[:old])

    def inclusion(path, at=index, of=size, hash_=leaf):
        assert merkle.root_by_inclusion(at, of, hash_, path) != root
        raise ProofError("another root")

    def consistency(path, m=old, n=size, before=old_root, after=root):
        merkle.check_consistency(m, n, before, after, path)

    for check, path in (
        (inclusion, merkle.inclusion(index, size, tree.read)),
        (consistency, merkle.consistency(old, size, tree.read)),
    ):
        for changed in spoiled(path):
            with pytest.raises(ProofError):
                check(changed)
    short = [one[:-1] for one in merkle.inclusion(index, size, tree.read)]
    if short:
        with pytest.raises(ProofError, match="another length"):
            inclusion(short)
    with pytest.raises(ProofError):
        inclusion(merkle.inclusion(index, size, tree.read), hash_=merkle.leaf_hash(b"else"))
    proof = merkle.consistency(old, size, tree.read)
    for wrong in ({"before": bytes(32)}, {"after": bytes(32)}, {"m": size + 1}):
        with pytest.raises(ProofError):
            consistency(proof, **wrong)


def spoiled(path):
    """Return proofs like `path` that are none: longer, shorter, changed in one bit."""
    found = [[*path, bytes(32)], [bytes(32), *path]]
    for at, one in enumerate(path):
        found += [
            path[:at] + path[at + 1 :],
            [*path[:at], bytes([one[0] ^ 1]) + one[1:], *path[at + 1 :]],
            [*path[:at], one[:-1], *path[at + 1 :]],
        ]
    return found


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (1, 1), (0, 0), (8, 8)])
def test_there_is_no_proof_of_what_is_not_there(index, size):
    with pytest.raises(ValueError, match="leaf"):
        merkle.inclusion(index, size, Tree(LEAVES).read)
    with pytest.raises(ProofError):
        merkle.root_by_inclusion(index, size, bytes(32), [])


def test_an_empty_tree_begins_every_tree():
    tree = Tree(LEAVES)
    assert merkle.consistency(0, 8, tree.read) == []
    root = merkle.root(8, tree.read)
    merkle.check_consistency(0, 8, merkle.EMPTY_ROOT, root, [])
    for wrong in ((0, 8, root, root, []), (0, 8, merkle.EMPTY_ROOT, root, [bytes(32)])):
        with pytest.raises(ProofError):
            merkle.check_consistency(*wrong)


def test_a_million_leaves_ask_for_few_nodes():
    asked = []

    def read(level, number):
        asked.append((level, number))
        return bytes(32)

    merkle.inclusion(123_456, 1_000_001, read)
    merkle.consistency(999_999, 1_000_001, read)
    merkle.appended(2**20 - 1, bytes(32), read)
    assert len(asked) < 100


@given(st.integers(0, 40), st.lists(st.binary(max_size=2), max_size=40))
def test_many_that_join_at_once_are_as_many_one_by_one(begun, more):
    tree = Tree([b"x"] * begun)
    hashes = [merkle.leaf_hash(content) for content in more]
    grown = merkle.extended(begun, hashes, tree.read)
    before = set(tree.nodes)
    for content in more:
        tree.append(content)
    assert {(n.level, n.number): n.hash for n in grown} == {
        at: found for at, found in tree.nodes.items() if at not in before
    }
    assert len(grown) == len(tree.nodes) - len(before)


@pytest.mark.parametrize("size", [5, 8, 255, 256, 300])
def test_nodes_that_are_missing_are_made_of_those_below(size):
    tree = Tree([bytes([n % 251]) for n in range(size)])
    whole = merkle.root(size, tree.read)
    leaves = {at: found for at, found in tree.nodes.items() if at[0] == 0}
    assert merkle.root(size, merkle.mended(lambda *at: leaves.get(at))) == whole
    del leaves[0, size - 1]
    assert merkle.mended(lambda *at: leaves.get(at))(0, size - 1) == bytes(32)
    assert merkle.root(size, merkle.mended(lambda *at: leaves.get(at))) != whole


@pytest.mark.parametrize("size", [2**40, 2**40 - 1, 2**62 - 1])
def test_a_size_that_somebody_made_up_asks_for_few(size):
    asked = 0

    def kept(level, number):
        nonlocal asked
        asked += 1

    merkle.root(size, merkle.mended(kept))
    assert asked < 62 * 512


@given(st.integers(0, 70), st.integers(0, 70))
def test_an_edge_grows_as_the_tree_does(begun, more):
    """From any size on, an edge gives the nodes and the root that the whole tree has."""
    nodes, frontier = {}, merkle.Frontier()

    def read(*at):
        return nodes[at]

    for number in range(begun + more):
        leaf = merkle.leaf_hash(bytes([number]))
        if number == begun:
            frontier = merkle.Frontier(begun, read)
        wanted = merkle.appended(number, leaf, read)
        assert frontier.append(leaf) == wanted
        nodes.update({(level, at): found for level, at, found in wanted})
        assert frontier.root() == merkle.root(number + 1, read)
    assert merkle.Frontier().root() == merkle.EMPTY_ROOT
