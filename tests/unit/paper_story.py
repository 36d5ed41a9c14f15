"""An eventful day on paper, as deliveries; and what a hub made of it, to compare."""

from collections.abc import Iterator

from fanal.hub.store import Store
from fanal.hub.tables import (
    ActionRow,
    BeaconRow,
    CrumbRow,
    HeardRow,
    InboxRow,
    IncidentRow,
    SightingRow,
    SignatureRow,
)
from fanal.position import Position
from fanal_protocol import alert
from fanal_protocol.frame import HDR_ALERT
from fanal_protocol.line import REPLAY
from sqlalchemy import func, select

from tests.unit.paper_beacon import T0, PaperBeacon, heard, lossy
from tests.unit.paper_listener import PaperListener

BEACONS = 5
SENT_MS = T0 + 4 * 3600_000
LISTENERS = (
    PaperListener(1, position=Position(48.2, 16.3, 10)),
    PaperListener(2, position=Position(48.2005, 16.3, 25), wall_error_ms=-9 * 86400_000),
    PaperListener(3, wall_error_ms=3600_000),
)


def story(beacons: list[PaperBeacon]) -> list[bytes]:
    """Deliveries as three listeners send them after hours without a network, one group each.

    A real alert with all its pages and crumbs, a drill, a self-test, one squeezed for the
    fortieth time, one whose second event comes before its first, replays, and garbage.
    """
    real, drill, tested, far, twice = beacons
    one, two, three = LISTENERS
    sent: list[bytes] = []
    for first, second in _twos(list(lossy(real.on_air(1, T0, 40), 0.3))):
        sent += [one.heard(*first, sent_ms=SENT_MS), two.heard(*second, sent_ms=SENT_MS)]
    sent.append(three.heard(heard(real.alert(1, 20), T0 + 3600_000), sent_ms=SENT_MS))  # a replay
    later = [heard(real.alert(1, 900 + 2 * i, phase=1, crumbs=i), T0 + 900_000 + 2000 * i)
             for i in range(9)]  # fmt: skip
    crumbs = [heard(real.crumb_page(1, i, at_slot=1), T0 + 901_000 + i) for i in range(3)]
    sent += [two.heard(*later[:3], *crumbs, sent_ms=SENT_MS), one.heard(*later, sent_ms=SENT_MS)]
    sent.append(one.heard(*lossy(drill.on_air(1, T0 + 60_000, 10, status=0x30), 0.2),
                          sent_ms=SENT_MS))  # fmt: skip
    sent.append(two.heard(heard(tested.alert(1, activation=alert.SELF_TEST), T0 + 5000),
                          sent_ms=SENT_MS))  # fmt: skip
    for listener in (one, three):  # both hear it before anybody knows whose it is
        sent.append(listener.heard(*lossy(far.on_air(40, T0 + 70_000, 8), 0.5, listener.number),
                                   sent_ms=SENT_MS))  # fmt: skip
    pages = [heard(page, T0 + 81_000 + i) for i, page in enumerate(twice.pages(2))]
    sent.append(three.heard(*pages, sent_ms=SENT_MS))
    sent.append(three.heard(heard(twice.alert(2), T0 + 80_000), sent_ms=SENT_MS))
    sent.append(one.heard(heard(twice.alert(1, 4), T0 + 4000), sent_ms=SENT_MS))
    sent.append(one.heard(heard(twice.alert(1, 6), T0 + 90_000), sent_ms=SENT_MS))  # a replay
    junk = [heard(bytes((0x20 + n % 64,)) + bytes(range(n % 31)), T0) for n in range(64)]
    sent.append(three.heard(*junk, sent_ms=SENT_MS))
    return sent


def _twos(frames: list) -> Iterator[tuple[list, list]]:
    """Every ten frames: what the first listener hears of them, and what the second does."""
    for at in range(0, len(frames) - 9, 10):
        ten = frames[at : at + 10]
        yield ten[:7], ten[4:]


def told(store: Store) -> dict[str, object]:
    """Everything that a hub knows of incidents, but for what depends on how it came in portions:
    numbers of rows, revisions, which of two equal alerts was the first, pages that are over.
    """
    with store.reading() as session:
        rows = {row.id: row for row in session.scalars(select(IncidentRow))}
        name = {number: (row.beacon, row.event) for number, row in rows.items()}
        return {
            "incidents": {name[n]: _columns(row, {"revision"}) for n, row in rows.items()},
            "sightings": sorted(
                ({"of": name[row.incident], "is_replay": row.verdict == REPLAY,
                  **_columns(row, {"incident", "verdict"})}
                 for row in session.scalars(select(SightingRow))),
                key=repr,
            ),
            "signatures": {(*name[row.incident], row.slot): _columns(row, {"incident"})
                           for row in session.scalars(select(SignatureRow))},
            "crumbs": {(*name[row.incident], row.index): _columns(row, {"incident"})
                       for row in session.scalars(select(CrumbRow))},
            "timeline": sorted((*name[row.incident], row.who, row.what, row.detail, row.at_ms)
                               for row in session.scalars(select(ActionRow))),
            "beacons": {row.id: (row.newest_event, row.anchor_event)
                        for row in session.scalars(select(BeaconRow))},
            "waiting": sorted((row.payload, row.listener)
                              for row in session.scalars(select(HeardRow))
                              if row.payload[0] == HDR_ALERT),
            "inbox": session.scalar(select(func.count()).select_from(InboxRow)),
        }  # fmt: skip


def _columns(row: object, without: set[str]) -> dict[str, object]:
    columns = {column.name: getattr(row, column.name) for column in row.__table__.columns}
    return {name: round(value, 9) if isinstance(value, float) else value
            for name, value in columns.items() if name not in without | {"id"}}  # fmt: skip
