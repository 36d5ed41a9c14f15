"""What travels from a listener to the hub: sealed groups of frames under a sealed postmark.

A *group* is what one listener heard in a few seconds. It is signed by the listener and sealed
to the fleet (age, X25519) the moment it is heard; what lies on the volunteer's disk is that. A
*delivery* is what goes over the network: a *postmark*, made when it is sent, and the groups. The
postmark says by the listener's own clocks when "now" is, so that the hub can reckon how long each
group waited, and how the listener is. A delivery without groups is a heartbeat.

    delivery = "FANAL\\x01" || (u32(length) || age file) for the postmark, then for each group
    age file of: signature (64 bytes) || JSON, padded with spaces

An age file's header has at most 1024 bytes and 4 stanzas, so that nobody can make reading it slow.

The signature is Ed25519 by the listener's key over "fanal/1 postmark" or "fanal/1 group" and the
JSON. Lengths are padded so that neither a disk nor a broker sees how much was heard.
"""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyrage  # type: ignore[import-untyped]
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fanal import age_key
from fanal.error import FanalError
from fanal.position import Position

MOST_DELIVERY_BYTES = 256 * 1024
MOST_FRAMES = 512  # in a group
MOST_GROUPS = 256  # in a delivery
MOST_PAYLOAD_BYTES = 31

MAGIC = b"FANAL\x01"
_GROUP = "group"
_POSTMARK = "postmark"
_PADDED_TO = {_GROUP: 1024, _POSTMARK: 256}
_SIGNATURE_BYTES = 64
_MOST_COUNTS = 32
_MOST_MS = 1 << 53  # what a JSON number holds exactly
_AGE = b"age-encryption.org/v1\n"
_MOST_HEADER_BYTES = 1024  # of an age file; what a Sealer makes has less than 300
_MOST_STANZAS = 4


class EnvelopeError(FanalError):
    """A delivery or a part of it that is refused. code: form, size, seal, signature, content."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence, "", 4, code=code)


@dataclass(frozen=True, slots=True)
class HeardFrame:
    """One payload as a listener got it, once or more often.

    payload: 1 to 31 bytes; first_ms, last_ms: the listener's steady clock at its first and last
    arrival; count: how often; rssi_dbm: the strongest, None if unknown.
    """

    payload: bytes
    first_ms: int
    last_ms: int
    count: int
    rssi_dbm: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """What one listener heard in a few seconds.

    listener: its Ed25519 public key, 32 bytes. boot: 16 hex digits, new whenever its steady clock
    starts anew. steady_ms and wall_ms: both clocks at one moment, when the group was closed.
    """

    listener: bytes
    boot: str
    steady_ms: int
    wall_ms: int
    frames: tuple[HeardFrame, ...]
    position: Position | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """How a listener is. radio: "hearing", "quiet" or "deaf".

    advert_age_ms: since it last heard any Bluetooth at all, None if never. queued: groups that
    wait in its outbox. dropped: by name, what met a bound since it started, and was lost; of
    `disk_full` and `outbox_full`, it was kept in memory as long as there was room.
    """

    radio: str
    advert_age_ms: int | None = None
    queued: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True, slots=True)
class Postmark:
    """What a listener says while it sends. Times as in `Group`, at the moment of sending.

    contents: the content ids of the groups that go with it. is_last_will: prepared at connecting,
    for the broker to publish when the listener is gone without a word.
    """

    listener: bytes
    boot: str
    steady_ms: int
    wall_ms: int
    health: Health
    contents: tuple[str, ...] = ()
    position: Position | None = None
    is_last_will: bool = False


@dataclass(frozen=True, slots=True)
class OpenedGroup:
    """A group of a delivery, with its content id: SHA-256 of the sealed bytes, 64 hex digits."""

    content_id: str
    group: Group


@dataclass(frozen=True, slots=True)
class Delivery:
    """An opened delivery. refused: by content id, why a group of it could not be read."""

    postmark: Postmark
    groups: tuple[OpenedGroup, ...]
    refused: Mapping[str, str]


def content_id(sealed: bytes) -> str:
    """Return the name of a sealed group by which the hub knows it again: 64 hex digits."""
    return hashlib.sha256(sealed).hexdigest()


def waited_ms(postmark: Postmark, group: Group, frame: HeardFrame) -> int:
    """Return how long a frame waited at its listener, in ms, never negative. SPEC 3.2.

    By the steady clock if it has not started anew since; else by the wall clock, which may have
    been set meanwhile: the best there is.
    """
    before_ms = group.steady_ms - frame.first_ms
    if group.boot == postmark.boot:
        return max(0, postmark.steady_ms - frame.first_ms)
    return max(0, postmark.wall_ms - (group.wall_ms - before_ms))


class Sealer:
    """Signs with a listener's key and seals to a fleet. recipient: its "age1..." public key."""

    def __init__(self, recipient: str, key: Ed25519PrivateKey) -> None:
        """Raises EnvelopeError (`form`) for what is no recipient."""
        try:
            self._recipient = pyrage.x25519.Recipient.from_str(recipient)
        except pyrage.RecipientError:
            raise EnvelopeError("form", "The fleet's public sealing key is unreadable.") from None
        self._key = key
        self.listener = key.public_key().public_bytes_raw()

    def group(self, group: Group) -> bytes:
        """Return a group, signed and sealed: what an outbox keeps."""
        frames = [[f.payload.hex(), f.first_ms, f.last_ms, f.count, f.rssi_dbm]
                  for f in group.frames]  # fmt: skip
        return self._sealed(_GROUP, {**_clocks(group), "frames": frames})

    def delivery(self, postmark: Postmark, sealed: Sequence[bytes] = ()) -> bytes:
        """Return a delivery of sealed groups; `postmark.contents` is made to name them."""
        health = postmark.health
        mark = self._sealed(_POSTMARK, {
            **_clocks(postmark),
            "radio": health.radio, "advert_age_ms": health.advert_age_ms, "queued": health.queued,
            "dropped": dict(health.dropped), "version": health.version,
            "contents": [content_id(one) for one in sealed], "is_last_will": postmark.is_last_will,
        })  # fmt: skip
        return MAGIC + b"".join(struct.pack(">I", len(one)) + one for one in (mark, *sealed))

    def _sealed(self, kind: str, content: Mapping[str, Any]) -> bytes:
        text = json.dumps({"fanal": kind, **content}, separators=(",", ":")).encode("ascii")
        text += b" " * (-(len(text) + _SIGNATURE_BYTES) % _PADDED_TO[kind])
        signature = self._key.sign(_context(kind) + text)
        sealed: bytes = pyrage.encrypt(signature + text, [self._recipient])
        return sealed


class Opener:
    """Opens what listeners sealed. sealing: the fleet's X25519 key, 32 bytes."""

    def __init__(self, sealing: bytes) -> None:
        self._identity = pyrage.x25519.Identity.from_str(age_key.secret_text(sealing))

    def __repr__(self) -> str:
        return "Opener()"

    @property
    def recipient(self) -> str:
        """The public half, "age1...", which a volunteer's bundle holds."""
        return str(self._identity.to_public())

    def delivery(self, data: bytes) -> Delivery:
        """Open a delivery from anybody. data: untrusted.

        Raises EnvelopeError if the postmark cannot be believed; a group that cannot is named in
        `refused`, and the others count.
        """
        return self.groups(*self.postmark(data))

    def postmark(self, data: bytes) -> tuple[Postmark, list[bytes]]:
        """Return who sent a delivery, and its groups as yet sealed. data: untrusted.

        So one from whom nothing more is taken now costs no more than this. Raises EnvelopeError.
        """
        mark, *sealed = split(data)
        content, text_key = self._opened(_POSTMARK, mark)
        postmark: Postmark = _read(_postmark, content, text_key)
        if list(postmark.contents) != [content_id(one) for one in sealed]:
            raise EnvelopeError("content", "The postmark names other groups than came with it.")
        if len(set(postmark.contents)) < len(sealed):
            raise EnvelopeError("content", "The same group comes twice.")
        return postmark, sealed

    def groups(self, postmark: Postmark, sealed: Sequence[bytes]) -> Delivery:
        """Open the groups that came with a postmark, as `postmark` returned them."""
        groups, refused = [], {}
        for name, one in zip(postmark.contents, sealed, strict=True):
            try:
                content, text_key = self._opened(_GROUP, one)
                group = _read(_group, content, text_key)
                if group.listener != postmark.listener:
                    raise EnvelopeError("content", "The group is another listener's.")
            except EnvelopeError as error:
                refused[name] = error.code
            else:
                groups.append(OpenedGroup(name, group))
        return Delivery(postmark, tuple(groups), refused)

    def _opened(self, kind: str, sealed: bytes) -> tuple[dict[str, Any], bytes]:
        """Return the content of one age file, and the key of the listener that signed it."""
        _require_short_header(sealed)
        try:
            plain: bytes = pyrage.decrypt(sealed, [self._identity])
        except pyrage.DecryptError:
            raise EnvelopeError("seal", "It is not sealed to this fleet, or damaged.") from None
        signature, text = plain[:_SIGNATURE_BYTES], plain[_SIGNATURE_BYTES:]
        try:
            content = json.loads(text)
            if not isinstance(content, dict) or content.get("fanal") != kind:
                raise ValueError("kind")
            key = bytes.fromhex(content["listener"])
            Ed25519PublicKey.from_public_bytes(key).verify(signature, _context(kind) + text)
        except InvalidSignature:
            raise EnvelopeError("signature", "The listener's signature is wrong.") from None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise EnvelopeError("content", f"A {kind} has the wrong form.") from None
        return content, key


def split(data: bytes) -> list[bytes]:
    """Return the age files of a delivery, the postmark first. Raises EnvelopeError."""
    if len(data) > MOST_DELIVERY_BYTES:
        raise EnvelopeError("size", f"A delivery has at most {MOST_DELIVERY_BYTES} bytes.")
    if not data.startswith(MAGIC):
        raise EnvelopeError("form", "It is no delivery of this version.")
    files, at = [], len(MAGIC)
    while at < len(data):
        if len(data) < at + 4:
            raise EnvelopeError("form", "The delivery is cut short.")
        (size,) = struct.unpack_from(">I", data, at)
        if size == 0 or len(data) < at + 4 + size:
            raise EnvelopeError("form", "The delivery is cut short.")
        files.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    if not 1 <= len(files) <= 1 + MOST_GROUPS:
        raise EnvelopeError("form", f"A delivery has a postmark and at most {MOST_GROUPS} groups.")
    return files


def _require_short_header(sealed: bytes) -> None:
    """Raise EnvelopeError for an age file for many recipients.

    The time to read a header grows with the square of its length, and all threads wait for it:
    200 KB of it, which anybody can send, would stop a hub for most of a minute.
    """
    header = sealed[:_MOST_HEADER_BYTES]
    end = header.find(b"\n--- ")
    if not header.startswith(_AGE) or end < 0 or header.count(b"\n-> ", 0, end) > _MOST_STANZAS:
        raise EnvelopeError("seal", "It is no age file for this fleet alone.")


def _context(kind: str) -> bytes:
    return f"fanal/1 {kind}".encode("ascii")


def _clocks(made: Group | Postmark) -> dict[str, Any]:
    at = made.position
    where = None if at is None else [at.latitude, at.longitude, at.accuracy_m, at.source]
    return {"listener": made.listener.hex(), "boot": made.boot, "steady_ms": made.steady_ms,
            "wall_ms": made.wall_ms, "position": where}  # fmt: skip


def _read(make: Any, content: Mapping[str, Any], key: bytes) -> Any:
    """Return `make(content, key)`; any surprise is an EnvelopeError that quotes nothing."""
    try:
        return make(content, key)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise EnvelopeError("content", "A field is missing or out of range.") from None


def _group(content: Mapping[str, Any], key: bytes) -> Group:
    frames = content["frames"]
    if not isinstance(frames, list) or not 1 <= len(frames) <= MOST_FRAMES:
        raise ValueError("frames")
    return Group(
        key, _boot(content), _number(content["steady_ms"]), _number(content["wall_ms"]),
        tuple(_frame(*one) for one in frames), _position(content["position"]),
    )  # fmt: skip


def _frame(payload: str, first_ms: int, last_ms: int, count: int, rssi_dbm: Any) -> HeardFrame:
    raw = bytes.fromhex(payload)
    if not 1 <= len(raw) <= MOST_PAYLOAD_BYTES:
        raise ValueError("payload")
    rssi = None if rssi_dbm is None else _number(rssi_dbm, -127, 20)
    first = _number(first_ms)
    return HeardFrame(raw, first, _number(last_ms, first), _number(count, 1), rssi)


def _postmark(content: Mapping[str, Any], key: bytes) -> Postmark:
    radio, age, dropped = content["radio"], content["advert_age_ms"], content["dropped"]
    if radio not in ("hearing", "quiet", "deaf") or len(dropped) > _MOST_COUNTS:
        raise ValueError("radio")
    health = Health(
        radio, None if age is None else _number(age), _number(content["queued"]),
        {_text(name): _number(count) for name, count in dropped.items()},
        _text(content["version"]),
    )  # fmt: skip
    contents, is_last_will = content["contents"], content["is_last_will"]
    if not isinstance(contents, list) or not isinstance(is_last_will, bool):
        raise ValueError("contents")
    return Postmark(
        key, _boot(content), _number(content["steady_ms"]), _number(content["wall_ms"]), health,
        tuple(str(one) for one in contents), _position(content["position"]), is_last_will,
    )  # fmt: skip


def _position(where: Any) -> Position | None:
    if where is None:
        return None
    latitude, longitude, accuracy_m, source = where
    if source not in ("fixed", "gps"):
        raise ValueError("source")
    return Position(float(latitude), float(longitude), float(accuracy_m), source)


def _boot(content: Mapping[str, Any]) -> str:
    boot = content["boot"]
    if not isinstance(boot, str) or len(boot) != 16 or set(boot) - set("0123456789abcdef"):
        raise ValueError("boot")
    return boot


def _number(value: Any, least: int = 0, most: int = _MOST_MS) -> int:
    # a bool is an int to Python
    if type(value) is not int or not least <= value <= most:
        raise ValueError("number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 40 or not value.isprintable():
        raise ValueError("text")
    return value
