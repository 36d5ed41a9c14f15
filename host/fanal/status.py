"""What a board says of itself, checked field by field before anything relies on it."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fanal_protocol import ed25519, keys

from fanal.error import DeviceError, IntegrityError

PROTOCOL = 1
NONCE_BYTES = 32

_CHALLENGE = b"fanal/1 challenge"


class Board(Protocol):
    """Anything whose console can be called: a BoardLink, or a board in a test."""

    def call(self, function: str, *args: str | int) -> dict[str, Any]:
        """Call one console function. Raises BoardRefused, BoardLost."""


@dataclass(frozen=True)
class Status:
    """The answer of `status()`. mac: "aa:bb:cc:dd:ee:ff" or None; public_key: 32 bytes or None.

    event: None or the console's object; drill_armed_s: 0 if none; battery_mv, force_mv: None if
    the board cannot measure them; vault: "partition" or "file"; faults: names.
    """

    version: str
    protocol: int
    machine: str
    chip: str
    mac: str | None
    beacon_id: str | None
    public_key: bytes | None
    is_provisioned: bool
    next_event: int
    event: Mapping[str, Any] | None
    drill_armed_s: int
    battery_mv: int | None
    force_mv: int | None
    settings: Mapping[str, Any]
    vault: str
    faults: tuple[str, ...]


def read_status(board: Board) -> Status:
    """Ask a board for its status. Raises DeviceError if the answer makes no sense."""
    reply = board.call("status")
    try:
        return _parse(reply)
    except (KeyError, TypeError, ValueError):
        raise DeviceError(
            "What the board says of itself cannot be understood.",
            "Flash the firmware of this release and try again.",
            code="garbage",
        ) from None


def require_protocol(status: Status) -> None:
    """Raise DeviceError unless the board speaks the protocol of this program."""
    if status.protocol != PROTOCOL:
        raise DeviceError(
            f"The board speaks protocol {status.protocol}, this program {PROTOCOL}.",
            "Use firmware and program of the same release.",
            code="protocol",
        )


def prove(board: Board, public_key: bytes) -> None:
    """Let the board prove that it holds the private half of `public_key` (32 bytes).

    Raises IntegrityError. The nonce is fresh, so no answer was recorded before. SPEC 4.5.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    reply = board.call("challenge", nonce.hex())
    try:
        signature = bytes.fromhex(reply["signature"])
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, _CHALLENGE + nonce)
        # OpenSSL takes keys of small order, under which one signature fits many messages
        is_strict = ed25519.verify(public_key, _CHALLENGE + nonce, signature)
    except (KeyError, TypeError, ValueError, InvalidSignature):
        is_strict = False
    if not is_strict:
        raise IntegrityError(
            "The board could not prove that it holds its key.",
            "Do not use it: it is damaged, or something on the cable answers in its name.",
            code="challenge",
        )


def require_own_id(status: Status) -> None:
    """Raise IntegrityError unless the id that a board shows is that of its key."""
    if status.public_key is not None and status.beacon_id != keys.beacon_id(status.public_key):
        raise IntegrityError(
            "The board's id and its key do not belong together.",
            "Flash the firmware of this release and try again.",
            code="id",
        )


def _parse(reply: Mapping[str, Any]) -> Status:
    public_key = None if reply["public_key"] is None else bytes.fromhex(reply["public_key"])
    if public_key is not None and len(public_key) != 32:
        raise ValueError("public_key")
    event = reply["event"]
    if event is not None and not isinstance(event, dict):
        raise ValueError("event")
    return Status(
        version=_text(reply["fanal"]),
        protocol=_number(reply["protocol"]),
        machine=_text(reply["machine"]),
        chip=_text(reply["chip"]),
        mac=_mac(reply["mac"]),
        beacon_id=None if reply["id"] is None else _text(reply["id"]),
        public_key=public_key,
        is_provisioned=reply["provisioned"] is True,
        next_event=_number(reply["next_event"] or 0),
        event=event,
        drill_armed_s=_number(reply["drill_armed_s"] or 0),
        battery_mv=None if reply["battery_mv"] is None else _number(reply["battery_mv"]),
        force_mv=None if reply["force_mv"] is None else _number(reply["force_mv"]),
        settings=dict(reply["settings"]),
        vault=_text(reply["vault"]),
        faults=tuple(_text(fault) for fault in reply["faults"]),
    )


def _number(value: object) -> int:
    if type(value) is not int:
        raise TypeError("not a number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > 200:
        raise TypeError("not a text")
    return value


def _mac(value: object) -> str | None:
    if value is None:
        return None
    octets = bytes.fromhex(_text(value).replace(":", ""))
    if len(octets) != 6:
        raise ValueError("mac")
    return octets.hex(":")
