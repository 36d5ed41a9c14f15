"""A listener and a hub on paper: deliveries as a real listener would seal them, by any clocks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal.envelope import Group, Health, HeardFrame, Opener, Postmark, Sealer
from fanal.heard import Heard
from fanal.hub.keys import HubKeys, seal_anchor
from fanal.hub.store import Store
from fanal.hub.tables import BeaconRow, ListenerRow
from fanal.position import Position

from tests.unit.paper_beacon import T0, PaperBeacon

SEALING = bytes(range(1, 33))  # of the fleet that all paper hubs serve
KEYS = HubKeys(log=b"l" * 32, storage=b"s" * 32, sealing=SEALING)
HERE = Position(48.2, 16.37, 10.0)


@dataclass
class PaperListener:
    """A listener whose clocks are known. All times that are passed in are true ones, in Unix ms.

    started_ms: when its steady clock began. wall_error_ms: what its wall clock is ahead by.
    """

    number: int = 1
    recipient: str = field(default_factory=lambda: Opener(SEALING).recipient)
    started_ms: int = T0 - 3600_000
    wall_error_ms: int = 0
    position: Position | None = None
    boots: int = 1

    def __post_init__(self) -> None:
        key = Ed25519PrivateKey.from_private_bytes(bytes([self.number, 77]) * 16)
        self.sealer = Sealer(self.recipient, key)
        self.key = self.sealer.listener.hex()

    def restart(self, now_ms: int) -> None:
        """Its steady clock begins anew."""
        self.started_ms, self.boots = now_ms, self.boots + 1

    def steady_ms(self, true_ms: int) -> int:
        return max(0, true_ms - self.started_ms)

    def group(self, heards: Iterable[Heard], closed_ms: int | None = None) -> bytes:
        """A sealed group: each payload once, with its first and last time and its count."""
        frames: dict[bytes, HeardFrame] = {}
        last_ms = 0
        for one in heards:
            at, last_ms = self.steady_ms(one.t_ms), max(last_ms, one.t_ms)
            known = frames.get(one.payload)
            if known is None:
                frames[one.payload] = HeardFrame(one.payload, at, at, 1, one.rssi_dbm)
            else:
                strongest = max(known.rssi_dbm or -127, one.rssi_dbm or -127)
                frames[one.payload] = HeardFrame(
                    one.payload, known.first_ms, at, known.count + 1, strongest
                )
        closed_ms = last_ms if closed_ms is None else closed_ms
        return self.sealer.group(
            Group(self.sealer.listener, self._boot(), self.steady_ms(closed_ms),
                  closed_ms + self.wall_error_ms, tuple(frames.values()), self.position)
        )  # fmt: skip

    def delivery(
        self, sent_ms: int, groups: Sequence[bytes] = (), *, health: Health | None = None,
        is_last_will: bool = False,
    ) -> bytes:  # fmt: skip
        """What goes over the network at `sent_ms`; without groups a heartbeat."""
        mark = Postmark(
            self.sealer.listener, self._boot(), self.steady_ms(sent_ms),
            sent_ms + self.wall_error_ms, health or Health("hearing", 500), (), self.position,
            is_last_will,
        )  # fmt: skip
        return self.sealer.delivery(mark, groups)

    def heard(self, *heards: Heard, sent_ms: int | None = None) -> bytes:
        """One group in one delivery, sent at once or at `sent_ms`."""
        last_ms = max(one.t_ms for one in heards)
        return self.delivery(last_ms if sent_ms is None else sent_ms, [self.group(heards)])

    def _boot(self) -> str:
        return f"{self.boots:016x}"


class PaperHub:
    """A hub's database with some beacons enrolled. now_ms: what its clock says; set it."""

    def __init__(self, url: str | Path, beacons: int = 1, *, profile: str = "carried",
                 site: str = "shelter-3", now_ms: int = T0) -> None:  # fmt: skip
        """url: of a PostgreSQL, or the path of a file for SQLite."""
        self.now_ms = now_ms
        self.url = f"sqlite:///{url}" if isinstance(url, Path) else url
        self.store = Store(self.url, lambda: self.now_ms)
        self.opener, self.keys = Opener(SEALING), KEYS
        self.beacons = [PaperBeacon(number) for number in range(1, beacons + 1)]
        self.enrol(*self.beacons, profile=profile, site=site)

    def enrol(self, *beacons: PaperBeacon, profile: str = "carried", site: str = "shelter-3",
              anchor_event: int = 1) -> None:  # fmt: skip
        """Enrol beacons that are not yet, as an officer's file would."""
        with self.store.writing() as session:
            for beacon in beacons:
                if session.get(BeaconRow, beacon.id) is None:
                    session.add(beacon_row(beacon, profile, site, anchor_event))

    def confirm(self, *listeners: PaperListener) -> None:
        """Enrol listeners, whether or not they were heard of."""
        with self.store.writing() as session:
            for one in listeners:
                row = session.get(ListenerRow, one.key) or _unheard(one.key)
                row.name, row.enrolled_by = f"listener {one.number}", "officer"
                row.enrolled_ms = self.now_ms
                session.add(row)

    def close(self) -> None:
        self.store.close()


def beacon_row(beacon: PaperBeacon, profile: str, site: str, anchor_event: int = 1) -> BeaconRow:
    """A beacon as an officer's file leaves it in the hub's database."""
    anchor = seal_anchor(KEYS.storage, beacon.id, anchor_event, beacon.key(anchor_event))
    return BeaconRow(
        id=beacon.id, public_key=beacon.public_key, certificate=None, station=1, site=site,
        place=f"door {beacon.number}", profile=profile, revoked_ms=None, revoked_reason=None,
        retired_ms=None, anchor_event=anchor_event, anchor=anchor, newest_event=0,
    )  # fmt: skip


def _unheard(key: str) -> ListenerRow:
    return ListenerRow(
        key=key, name="", enrolled_ms=None, enrolled_by=None, first_received_ms=0,
        last_received_ms=0, radio="", last_advert_ms=None, queued=0, dropped={}, version="",
        is_lost=False, silent_since_ms=None, latitude=None, longitude=None, accuracy_m=None,
        source=None, fixed_latitude=None, fixed_longitude=None, fixed_accuracy_m=None,
    )  # fmt: skip
