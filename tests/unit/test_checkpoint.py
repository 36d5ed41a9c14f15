"""Signed notes and checkpoints: the published note, and everything that is not quite one."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal import checkpoint
from fanal.checkpoint import Checkpoint
from fanal.error import IntegrityError
from hypothesis import given
from hypothesis import strategies as st

# the example of Go's package note, which the specification follows
NAME = "PeterNeumann"
VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
NOTE = (
    TEXT + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfq"
    "dngotpRZb6KE6RyyBwJnAM=\n"
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
HELD = Checkpoint("fanal/0011aabb/station-0", 5, bytes(range(32)))
SIGNED = checkpoint.sign_checkpoint(HELD, KEY)


def test_the_published_note():
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    public_key = key.public_key().public_bytes_raw()
    assert checkpoint.verifier_key(NAME, public_key) == VERIFIER
    assert checkpoint.sign(TEXT, NAME, key) == NOTE
    assert checkpoint.open_note(NOTE, NAME, public_key) == TEXT


def test_a_checkpoint_comes_back():
    assert checkpoint.open_checkpoint(SIGNED, PUBLIC) == HELD
    assert SIGNED.startswith("fanal/0011aabb/station-0\n5\nAAECAwQ")


def test_one_signed_by_others_too():
    other = "— witness.example " + base64.b64encode(bytes(4 + 72)).decode() + "\n"
    assert checkpoint.open_checkpoint(SIGNED + other, PUBLIC) == HELD
    head, signature = SIGNED.split("\n\n")
    assert checkpoint.open_checkpoint(f"{head}\n\n{other}{signature}", PUBLIC) == HELD
    with pytest.raises(IntegrityError):
        checkpoint.open_checkpoint(f"{head}\n\n{other}", PUBLIC)


def test_sixteen_signatures_of_keys_that_outlive_quantum_computers_fit():
    signature = base64.b64encode(bytes(4 + 4900)).decode()
    others = [f"— witness-{number}.example/of-the-log {signature}\n" for number in range(15)]
    assert checkpoint.open_checkpoint(SIGNED + "".join(others), PUBLIC) == HELD
    with pytest.raises(IntegrityError):
        checkpoint.open_checkpoint(SIGNED + "".join(2 * others), PUBLIC)


def test_another_key_is_another_signer():
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    with pytest.raises(IntegrityError):
        checkpoint.open_checkpoint(SIGNED, other)


def test_it_is_refused_at_each_length():
    for length in range(len(SIGNED)):
        with pytest.raises(IntegrityError):
            checkpoint.open_checkpoint(SIGNED[:length], PUBLIC)


def test_it_is_refused_with_any_bit_flipped():
    data = SIGNED.encode()
    for at in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            text = changed.decode(errors="replace")
            with pytest.raises(IntegrityError):
                checkpoint.open_checkpoint(text, PUBLIC)


@pytest.mark.parametrize(
    "text",
    [
        "", "\n\n\n", "a\n1\n", f"a\n01\n{'A' * 43}=\n", f"a\n-1\n{'A' * 43}=\n",
        f"a\n1\n{'A' * 42}==\n", f"a\n9223372036854775808\n{'A' * 43}=\n", f"a\n²\n{'A' * 43}=\n",
        f"a b\n1\n{'A' * 43}=\n", f"a+b\n1\n{'A' * 43}=\n", f"\n1\n{'A' * 43}=\n",
        f"a\n1\n{'A' * 43}=", f"a\n1\n{'A' * 42}B=\n", f"a\r\n1\n{'A' * 43}=\n", "x" * 140_000,
        f"a\n1\n{'é' * 43}=\n",
    ],
)  # fmt: skip
def test_what_is_no_checkpoint(text):
    with pytest.raises(IntegrityError):
        checkpoint.parse(text)


@given(st.text(max_size=200))
def test_any_text_is_refused_politely(text):
    for note in (text, f"{text}\n\n— a b\n", HELD.text() + "\n" + text):
        with pytest.raises(IntegrityError):
            checkpoint.open_checkpoint(note, PUBLIC)


@pytest.mark.parametrize(
    ("text", "name"), [("x", "a"), ("x\n", ""), ("x\n", "a b"), ("x\n", "a+b"), ("x\r\n", "a")]
)
def test_what_cannot_be_signed(text, name):
    with pytest.raises(ValueError, match="note"):
        checkpoint.sign(text, name, KEY)
