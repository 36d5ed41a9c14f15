"""What a Heard becomes: a sighting, a page of something, or a refusal with its name.

Each is frozen and holds no key. SPEC 3.
"""

from dataclasses import dataclass
from typing import Any

from fanal_protocol import alert, slot

from fanal.heard import Heard, Receipt

ALERT = "ALERT"
DRILL = "DRILL"
TEST = "TEST"


@dataclass(frozen=True, slots=True)
class Sighting:
    """A Heard whose tag was good: a beacon of ours said this, at the latest at `t_ms`.

    event: n from 1; slot: 0..95; seq: 0..449; rid: 8 bytes.
    status, crumbs, phase: bytes of the plaintext; battery_mv: at most 5100, saturated.
    readable: whether this version knows what the four bytes mean (the mark `meaning` if not).
    verdict: FRESH, LATE, DUPLICATE or REPLAY of `fanal_protocol.line`; left: the entries of the
    event's line that this one showed to be replays.
    rssi_dbm: None if unknown; t_ms: arrival; began_ms: when the event began at the latest, by
    all that is held as genuine, None if nothing is. receipt: how it came, as of its Heard.
    """

    beacon_id: str
    event: int
    slot: int
    seq: int
    rid: bytes
    status: int
    battery_mv: int
    crumbs: int
    phase: int
    readable: bool
    verdict: str
    left: tuple[Any, ...]
    rssi_dbm: int | None
    t_ms: int
    began_ms: int | None
    receipt: Receipt | None = None

    @property
    def age_s(self) -> int:
        """Seconds since the event began when the frame was sent; at least, if `resumed`."""
        return int(slot.age_s(self.slot, self.seq))

    @property
    def activation(self) -> int:
        """What the squeeze detector decided: `alert.SELF_TEST`, `alert.HOLD`, or unknown here."""
        return int(alert.read_status(self.status).activation)

    @property
    def drill(self) -> bool:
        """Whether it is a rehearsal."""
        return bool(alert.read_status(self.status).drill)

    @property
    def battery_low(self) -> bool:
        """Whether the beacon calls its battery low."""
        return bool(alert.read_status(self.status).battery_low)

    @property
    def resumed(self) -> bool:
        """Whether the beacon restarted in the middle, so that the squeeze is older than the age."""
        return bool(alert.read_status(self.status).resumed)

    def may_be_replay(self, horizon: int) -> bool:
        """Say whether the rules of time cannot tell: the event is none of those after `horizon`.

        horizon: the newest event known of this beacon when the registry was restored, or found to
        be older than what this computer had heard; 0 if neither.
        """
        return self.event <= horizon

    @property
    def kind(self) -> str:
        """ALERT, DRILL or TEST. What cannot be read is an alert: in doubt it is real."""
        if not self.readable:
            return ALERT
        if self.activation == alert.SELF_TEST:
            return TEST
        return DRILL if self.drill else ALERT


@dataclass(frozen=True, slots=True)
class PageMatched:
    """A page that belongs to a slot of ours. kind: "signature" or "crumb".

    page: its number, or the crumb's index; have: how many different signature pages of this
    slot are here (any 3 of 12 are enough); is_new: False for one that was here already.
    """

    beacon_id: str
    event: int
    slot: int
    kind: str
    page: int
    have: int
    is_new: bool
    rssi_dbm: int | None
    t_ms: int


@dataclass(frozen=True, slots=True)
class SignatureVerified:
    """The beacon's own Ed25519 signature over (event, slot, rid, status & 0xF0) is here and good.

    signature: 64 bytes; rid: 8 bytes; status: the signed bits, so that anyone who has the
    beacon's public key can check it again. t_ms: arrival of the page that completed it.
    """

    beacon_id: str
    event: int
    slot: int
    signature: bytes
    rid: bytes
    status: int
    t_ms: int


@dataclass(frozen=True, slots=True)
class CrumbFound:
    """A location fix: crumb `index` of an event, heard for the first time.

    age_s: since the event began, saturated at 131070; seen: access points, saturated at 255;
    aps: up to two of (bssid: 6 bytes, rssi_dbm), the stronger first.
    """

    beacon_id: str
    event: int
    index: int
    age_s: int
    seen: int
    aps: tuple[tuple[bytes, int], ...]
    t_ms: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A Heard that is not ours, or not yet. reason: one of `fanal_protocol.error.REASONS`.

    is_kept: it waits and is tried again, for 48 hours at most.
    """

    reason: str
    heard: Heard
    is_kept: bool = False


Outcome = Sighting | PageMatched | SignatureVerified | CrumbFound | Refusal
