"""A delivery from anybody: what is true in it is found, what is not is refused by its name."""

import json
import struct
from dataclasses import replace

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal import envelope
from fanal.envelope import (
    EnvelopeError,
    Group,
    Health,
    HeardFrame,
    Opener,
    Postmark,
    Sealer,
    content_id,
    waited_ms,
)
from fanal.position import Position
from hypothesis import given, settings
from hypothesis import strategies as st

SEALING = b"\x11" * 32
HUB = Opener(SEALING)
KEY = Ed25519PrivateKey.from_private_bytes(b"\x22" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"\x33" * 32)
SEALER = Sealer(HUB.recipient, KEY)
OTHER = Sealer(HUB.recipient, OTHER_KEY)
CODES = {"form", "size", "seal", "signature", "content"}


def frame(number: int = 0) -> HeardFrame:
    payload = bytes([0x20]) + number.to_bytes(22, "big")
    return HeardFrame(payload, 1000 + number, 2000 + number, 3, -60 if number % 2 else None)


def group(frames: int = 3, sealer: Sealer = SEALER, **more) -> Group:
    made = Group(
        sealer.listener, "0123456789abcdef", 90_000, 1_790_000_000_000,
        tuple(frame(i) for i in range(frames)), Position(-33.9, 18.4, 25.0),
    )  # fmt: skip
    return replace(made, **more)


def postmark(sealer: Sealer = SEALER, **more) -> Postmark:
    health = Health("hearing", 1500, 7, {"flood": 3}, "0.1.0")
    made = Postmark(sealer.listener, "0123456789abcdef", 95_000, 1_790_000_005_000, health)
    return replace(made, **more)


def delivered(*groups: Group) -> bytes:
    return SEALER.delivery(postmark(), [SEALER.group(one) for one in groups])


def refused(data: bytes) -> str:
    with pytest.raises(EnvelopeError) as caught:
        HUB.delivery(data)
    assert caught.value.code in CODES
    assert caught.value.sentence
    return caught.value.code


def forged(kind: str, change, key: Ed25519PrivateKey = KEY) -> bytes:
    """An age file whose content is what `change` makes of a good one, and well signed."""
    made = group() if kind == "group" else postmark()
    good = SEALER.group(made) if kind == "group" else envelope.split(SEALER.delivery(made))[0]
    content, _ = HUB._opened(kind, good)
    text = change(content)
    if not isinstance(text, bytes):
        text = json.dumps(text).encode()
    signature = key.sign(f"fanal/1 {kind}".encode() + text)
    return pyrage.encrypt(signature + text, [pyrage.x25519.Recipient.from_str(HUB.recipient)])


def in_delivery(*files: bytes) -> bytes:
    return envelope.MAGIC + b"".join(struct.pack(">I", len(f)) + f for f in files)


def test_what_was_sealed_is_found_again():
    groups = [group(1), group(512, position=None)]
    sealed = [SEALER.group(one) for one in groups]
    mark = postmark(position=Position(1.5, 2.5, 3.5, "gps"), is_last_will=True)
    opened = HUB.delivery(SEALER.delivery(mark, sealed))
    assert [one.group for one in opened.groups] == groups
    assert [one.content_id for one in opened.groups] == [content_id(one) for one in sealed]
    assert opened.postmark == replace(mark, contents=tuple(map(content_id, sealed)))
    assert opened.refused == {}


def test_a_heartbeat_is_a_delivery_without_groups():
    opened = HUB.delivery(SEALER.delivery(postmark()))
    assert (opened.groups, opened.postmark.contents) == ((), ())


def test_every_truncation_is_refused():
    data = delivered(group(1), group(2))
    codes = {refused(data[:size]) for size in range(len(data))}
    assert codes == {"form", "content"}  # content: cut between two groups


def test_every_bit_that_is_flipped_is_noticed():
    data = delivered(group(1))
    codes = set()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        codes.add(refused(bytes(changed)))
    assert codes == {"form", "seal", "content"}


def test_a_group_alone_is_refused_for_each_bit_without_harm_to_the_others():
    good, bad = SEALER.group(group(1)), SEALER.group(group(2))
    for bit in range(0, 8 * len(bad), 101):
        changed = bytearray(bad)
        changed[bit // 8] ^= 1 << bit % 8
        opened = HUB.delivery(SEALER.delivery(postmark(), [bytes(changed), good]))
        assert opened.refused == {content_id(bytes(changed)): "seal"}
        assert [one.content_id for one in opened.groups] == [content_id(good)]


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_any_bytes_are_refused(data):
    refused(data)
    refused(envelope.MAGIC + data)
    refused(in_delivery(data or b"\0"))


def test_another_fleet_cannot_be_read():
    other = Opener(b"\x12" * 32)
    with pytest.raises(EnvelopeError) as caught:
        other.delivery(delivered(group()))
    assert caught.value.code == "seal"
    stranger = Sealer(other.recipient, KEY).group(group())
    opened = HUB.delivery(SEALER.delivery(postmark(), [stranger]))
    assert list(opened.refused.values()) == ["seal"]


def test_a_group_of_another_listener_under_ones_own_postmark():
    stolen = OTHER.group(group(sealer=OTHER))
    opened = HUB.delivery(SEALER.delivery(postmark(), [stolen]))
    assert (opened.groups, list(opened.refused.values())) == ((), ["content"])


def test_a_group_that_names_a_listener_who_did_not_sign_it():
    claimed = forged("group", lambda content: content, key=OTHER_KEY)
    opened = HUB.delivery(SEALER.delivery(postmark(), [claimed]))
    assert list(opened.refused.values()) == ["signature"]
    assert refused(in_delivery(forged("postmark", lambda c: c, key=OTHER_KEY))) == "signature"


def test_a_group_twice_in_one_delivery():
    sealed = SEALER.group(group())
    assert refused(SEALER.delivery(postmark(), [sealed, sealed])) == "content"


def test_a_group_under_another_postmark_keeps_its_name():
    sealed = SEALER.group(group())
    again = [HUB.delivery(SEALER.delivery(postmark(steady_ms=t), [sealed])) for t in (1, 99_000)]
    assert {one.groups[0].content_id for one in again} == {content_id(sealed)}


def test_a_group_that_was_taken_out_exchanged_or_put_in_is_noticed():
    one, two = SEALER.group(group(1)), SEALER.group(group(2))
    mark = envelope.split(SEALER.delivery(postmark(), [one]))[0]
    assert in_delivery(mark, one).startswith(envelope.MAGIC)
    HUB.delivery(in_delivery(mark, one))
    for others in ((), (two,), (one, two), (one, one)):
        assert refused(in_delivery(mark, *others)) == "content"


def test_a_postmark_is_no_group_and_a_group_no_postmark():
    mark = envelope.split(SEALER.delivery(postmark()))[0]
    opened = HUB.delivery(SEALER.delivery(postmark(), [mark]))
    assert list(opened.refused.values()) == ["content"]
    assert refused(in_delivery(SEALER.group(group()))) == "content"


def test_a_file_sealed_by_a_passphrase_costs_nothing():
    costly = pyrage.passphrase.encrypt(b"x" * 100, "passphrase")
    assert refused(in_delivery(costly)) == "seal"


def test_sizes():
    assert refused(b"\0" * (envelope.MOST_DELIVERY_BYTES + 1)) == "size"
    assert refused(envelope.MAGIC) == "form"
    assert refused(in_delivery(b"")) == "form"
    assert refused(in_delivery(*[b"x"] * (envelope.MOST_GROUPS + 2))) == "form"
    # nothing is allocated for a length that is only claimed
    assert refused(envelope.MAGIC + struct.pack(">I", 0xFFFFFFFF)) == "form"


@pytest.mark.parametrize("value", [(1 << 53) + 1, -1, 10**400, 1.5, True, None, "1", [1], {}])
@pytest.mark.parametrize("name", ["steady_ms", "wall_ms"])
@pytest.mark.parametrize("kind", ["group", "postmark"])
def test_times_out_of_range(kind, name, value):
    assert refused_in(kind, lambda content: {**content, name: value}) == "content"


@pytest.mark.parametrize("value", [-1, (1 << 53) + 1, 10**400, 1.5, True, "1", [1]])
def test_health_out_of_range(value):
    for change in (
        {"queued": value}, {"advert_age_ms": value}, {"dropped": {"flood": value}},
        {"radio": value}, {"version": 7}, {"contents": value}, {"is_last_will": 1},
        {"dropped": {str(i): 1 for i in range(33)}}, {"dropped": [1]}, {"version": "x" * 41},
        {"version": "\x1b[2J"}, {"dropped": {"\n": 1}}, {"dropped": {"x" * 41: 1}},
    ):  # fmt: skip
        assert refused_in("postmark", lambda content, new=change: {**content, **new}) == "content"


@pytest.mark.parametrize(
    "bad",
    [
        [], ["20"], ["", 1, 1, 1, None], ["zz", 1, 1, 1, None], ["20" * 32, 1, 1, 1, None],
        ["20", -1, 1, 1, None], ["20", 2, 1, 1, None], ["20", 1, 1, 0, None],
        ["20", 1, 1, 1, -128], ["20", 1, 1, 1, 21], ["20", 1, 1, 1, 1.5], ["20", 1, 1, 1, True],
        ["20", 10**400, 10**400, 1, None], ["20", 1, 1, 10**400, None], [20, 1, 1, 1, None],
        ["20", 1, 1, 1, None, None], None, "abcde", {"payload": "20"}, 5,
    ],
)  # fmt: skip
def test_frames_out_of_range(bad):
    assert refused_in("group", lambda content: {**content, "frames": [bad]}) == "content"


def test_too_many_frames_or_none():
    one = ["20", 1, 1, 1, None]
    for frames in ([], [one] * 513, {}, None, "x"):
        code = refused_in("group", lambda content, new=frames: {**content, "frames": new})
        assert code == "content"


@pytest.mark.parametrize(
    "where",
    [
        [91, 0, 1, "fixed"], [0, 181, 1, "gps"], [0, 0, -1, "fixed"], [0, 0, 1, "site"],
        [float("nan"), 0, 1, "gps"], [0, float("inf"), 1, "gps"], [10**400, 0, 1, "gps"],
        [0, 0, 1], [0, 0, 1, "gps", 5], "here", 5, {}, [None] * 4, [[], 0, 1, "gps"],
    ],
)  # fmt: skip
def test_places_out_of_range(where):
    for kind in ("group", "postmark"):
        assert refused_in(kind, lambda content: {**content, "position": where}) == "content"


@pytest.mark.parametrize(
    "boot", ["", "0" * 15, "0" * 17, "0123456789ABCDEF", "０" * 16, 5, None, ["0"] * 16]
)
def test_boots_of_another_form(boot):
    for kind in ("group", "postmark"):
        assert refused_in(kind, lambda content: {**content, "boot": boot}) == "content"


@pytest.mark.parametrize("kind", ["group", "postmark"])
def test_a_field_that_is_missing_or_another_form(kind):
    content, _ = HUB._opened(kind, forged(kind, lambda c: c))
    for name in content:
        gone = refused_in(kind, lambda c, gone=name: {k: v for k, v in c.items() if k != gone})
        assert gone == "content"
    texts = (b"", b"[]", b"null", b"\xff", b"[" * 50_000, b"{}", b'{"fanal":"group"', b"9" * 5000)
    for text in texts:
        assert refused_in(kind, lambda _, text=text: text) == "content"


@pytest.mark.parametrize("key", ["", "00", "zz" * 32, "22" * 31, "22" * 33, 5, None])
def test_a_listener_that_is_no_key(key):
    for kind in ("group", "postmark"):
        code = refused_in(kind, lambda content: {**content, "listener": key})
        assert code in ("content", "signature")


def refused_in(kind: str, change) -> str:
    """The name by which a forged part is refused, as a postmark or as a group."""
    part = forged(kind, change)
    if kind == "postmark":
        return refused(in_delivery(part))
    (code,) = HUB.delivery(SEALER.delivery(postmark(), [part])).refused.values()
    return code


def test_less_than_a_signature_is_no_signature():
    for size in (0, 1, 63, 64):
        part = pyrage.encrypt(b"x" * size, [pyrage.x25519.Recipient.from_str(HUB.recipient)])
        assert refused(in_delivery(part)) == "content"


def plain_bytes(*files: bytes) -> set[int]:
    """The lengths under the seals; outside, age adds a few random ones to each of them."""
    return {len(pyrage.decrypt(file, [HUB._identity])) for file in files}


def test_padding_hides_how_much_was_heard():
    groups = [SEALER.group(group(count, wall_ms=10**count)) for count in range(1, 6)]
    assert plain_bytes(*groups) == {1024}
    assert plain_bytes(SEALER.group(group(100))) == {7168}
    healths = [Health("deaf", None, q, {"flood": q} if q else {}, "0.1.0") for q in (0, 5, 99)]
    marks = [SEALER.delivery(postmark(health=health)) for health in healths]
    assert plain_bytes(*(envelope.split(mark)[0] for mark in marks)) == {512}


def test_two_seals_of_one_group_have_nothing_in_common():
    one, two = SEALER.group(group()), SEALER.group(group())
    assert content_id(one) != content_id(two)
    assert frame(1).payload not in one
    assert SEALER.listener not in one
    assert SEALER.listener.hex().encode() not in one


@pytest.mark.parametrize(
    ("boot", "mark_steady", "mark_wall", "waited"),
    [
        ("0123456789abcdef", 95_000, 0, 94_000),  # by the steady clock, whatever the wall says
        ("0123456789abcdef", 95_000, 1 << 52, 94_000),
        ("0123456789abcdef", 500, 1 << 52, 0),  # a steady clock that went back: never negative
        ("f" * 16, 500, 1_790_000_000_000, 89_000),  # another boot: by the wall
        ("f" * 16, 500, 1_790_000_060_000, 149_000),
        ("f" * 16, 500, 1_780_000_000_000, 0),  # set back meanwhile: never negative
    ],
)
def test_how_long_a_frame_waited(boot, mark_steady, mark_wall, waited):
    mark = postmark(boot=boot, steady_ms=mark_steady, wall_ms=mark_wall)
    assert waited_ms(mark, group(), frame(0)) == waited


def test_a_recipient_that_is_none():
    for text in ("", "age1", "age1" + "q" * 58, str(pyrage.x25519.Identity.generate())):
        with pytest.raises(EnvelopeError) as caught:
            Sealer(text, KEY)
        assert caught.value.code == "form"
        assert text == "" or text not in caught.value.sentence


def test_no_secret_in_a_repr():
    assert repr(HUB) == "Opener()"
    assert SEALING.hex() not in repr(vars(HUB))


_STANZA = b"-> X25519 " + b"A" * 43 + b"\n" + b"A" * 43 + b"\n"
_END = b"--- " + b"A" * 43 + b"\n" + bytes(32)


@pytest.mark.parametrize(
    "file",
    [
        b"age-encryption.org/v1\n" + _STANZA * 2000 + _END,
        b"age-encryption.org/v1\n" + _STANZA * 5 + _END,
        b"age-encryption.org/v1\n" + b"-> a\n\n" * 150 + _END,
        b"age-encryption.org/v1\n-> a\n" + (b"A" * 64 + b"\n") * 3000 + b"\n" + _END,
        b"age-encryption.org/v1\n-> " + b"a " * 100_000,
        b"-----BEGIN AGE ENCRYPTED FILE-----\n" + b"YWdl" * 50_000,
    ],
)
def test_a_header_that_would_keep_a_hub_busy_is_not_even_read(file, monkeypatch):
    """Reading 200 KB of header takes a minute, in which no other thread runs."""

    def decrypt(*_):
        raise AssertionError("it was read")

    good = SEALER.group(group())
    monkeypatch.setattr(envelope.pyrage, "decrypt", decrypt)
    assert refused(envelope.MAGIC + struct.pack(">I", len(file)) + file) == "seal"
    assert HUB.groups(postmark(contents=("00",)), [file]).refused == {"00": "seal"}
    with pytest.raises(AssertionError):
        HUB.groups(postmark(contents=("00",)), [good])


def test_what_other_writers_of_age_make_is_read():
    """They grease with a stanza or two, or not at all."""
    plain = SEALER.group(group())
    assert plain.index(b"\n--- ") < 400
    assert plain.count(b"\n-> ", 0, plain.index(b"\n--- ")) <= 2
