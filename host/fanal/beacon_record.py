"""What the registry says of a beacon, as the verbs get it: frozen, and no secret in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

MOST_EVENT = 1_000_000  # of a beacon's life; whoever resolves has to count up to its newest


@dataclass(frozen=True)
class Reservation:
    """An identity about to be given. public_key: 32 bytes.

    mac: "aa:bb:cc:dd:ee:ff", or None for a board that has none. begun: how many events it had by
    its own word, 0 to MOST_EVENT."""

    beacon_id: str
    public_key: bytes
    mac: str | None
    chip: str
    station: int
    site: str
    place: str
    profile: str
    begun: int = 0


@dataclass(frozen=True)
class Revocation:
    """Since when, Unix milliseconds, a beacon is out of our hands, and why: one line of text."""

    at_ms: int
    reason: str


@dataclass(frozen=True)
class StationRecord:
    """A station as registered. certificate: DER; created_ms: Unix milliseconds."""

    number: int
    certificate: bytes
    created_ms: int
    revocation: Revocation | None = None


@dataclass(frozen=True)
class Beacon:
    """A beacon as registered. certificate: DER or None; first_ms, last_ms: Unix milliseconds."""

    beacon_id: str
    public_key: bytes
    mac: str | None
    chip: str
    station: int
    state: str
    certificate: bytes | None
    site: str
    place: str
    profile: str
    settings: Mapping[str, Any]
    newest_event: int
    first_ms: int
    last_ms: int
    revocation: Revocation | None = None


@dataclass(frozen=True)
class Watched:
    """What a listener has to know of a beacon. newest_event: 0 if none was heard.

    revocation: its own, or that of its station. horizon: the newest event that was known when the
    registry was restored from a backup, or that its board knew of when it was taken up again, 0 if
    it never was; up to there a sighting may be a replay.
    first_ms: when it was registered.
    """

    beacon_id: str
    public_key: bytes
    site: str
    place: str
    profile: str
    newest_event: int
    station: int
    revocation: Revocation | None = None
    horizon: int = 0
    first_ms: int = 0

    def horizon_beside(self, heard: int) -> int:
        """Return the horizon beside the newest event that this computer heard, 0 if none.

        A registry that was copied back knows of less.
        """
        return heard if heard > max(self.newest_event, self.horizon) else self.horizon


class Newest(NamedTuple):
    """What was heard of a beacon at the end of an event, or so far.

    t_ms: when, Unix milliseconds; age_s: of the event then; is_self_test: False if in doubt.
    """

    event: int
    t_ms: int
    age_s: int
    is_self_test: bool


@dataclass(frozen=True)
class Custody:
    """One line of a beacon's history."""

    at_ms: int
    what: str
    detail: str
