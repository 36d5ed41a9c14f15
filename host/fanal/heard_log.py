"""What was heard of the beacons, as kept in the registry: alerts and their verdicts. SPEC 3.2."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from fanal_protocol import alert, slot
from sqlalchemy import Select, func, select

from fanal.beacon_record import Newest
from fanal.log import REPLAYED, Log
from fanal.schema import BeaconRow, SightingRow

ALERT = "alert first seen"  # in the log

_LINE = ("fresh", "late")  # the verdicts that join an event's line

Lines = dict[tuple[str, int], list[tuple[int, int, int]]]  # (beacon id, event): (t_ms, slot, seq)


class HeardLog(Log):
    """The part of a registry that listeners write. Every method is one transaction."""

    def line(self, beacon_id: str, event: int) -> list[tuple[int, int, int]]:
        """Return the line of one event (SPEC 3.2): (t_ms, slot, seq) in the order of joining."""
        return self.lines().get((beacon_id, event), [])

    def lines(self) -> Lines:
        """Return all lines by (beacon id, event), so that replay state survives a restart."""
        return self.lines_after(0)[1]

    def lines_after(self, row: int) -> tuple[int, Lines]:
        """Return the number of the newest row, and of those after `row` what `lines` does."""
        found: Lines = defaultdict(list)
        with self._reading() as session:
            newest = session.scalar(select(func.max(SightingRow.id))) or 0
            for one in session.scalars(
                select(SightingRow)
                .where(SightingRow.id > row, SightingRow.verdict.in_(_LINE))
                .order_by(SightingRow.id)
            ):
                found[one.beacon, one.event].append((one.t_ms, one.slot, one.seq))
        return newest, dict(found)

    def newest_heard(self) -> dict[str, tuple[Newest, Newest]]:
        """Return beacon id -> what was heard of its newest event, and what was heard last.

        They differ only where a clock was wrong; replays do not count. Older events are over: a
        beacon has one at a time, and their numbers only grow.
        """
        found: dict[str, tuple[Newest, Newest]] = {}
        with self._reading() as session:
            for row in session.scalars(select(SightingRow).where(SightingRow.verdict.in_(_LINE))):
                seen = Newest(row.event, row.t_ms, slot.age_s(row.slot, row.seq),
                              row.activation == alert.SELF_TEST)  # fmt: skip
                by_number, by_time = found.get(row.beacon, (seen, seen))
                found[row.beacon] = (
                    max(by_number, seen), max(by_time, seen, key=lambda one: one.t_ms)
                )  # fmt: skip
        return found

    def record_sighting(
        self,
        beacon_id: str,
        event: int,
        *,
        slot: int,
        seq: int,
        t_ms: int,
        verdict: str,
        rssi_dbm: int | None = None,
        activation: int | None = None,
        left: Iterable[tuple[int, int, int]] = (),
    ) -> None:
        """Keep one alert and its verdict (fresh, late, duplicate, replay).

        activation: as on air, None if it cannot be read. left: the entries (t_ms, slot, seq) that
        this one pushed out of the line: replays now.
        """
        with self._writing() as session:
            is_first = verdict != "replay" and not session.scalar(_known(beacon_id, event))
            for _, left_slot, left_seq in left:
                of_line = select(SightingRow).where(
                    SightingRow.beacon == beacon_id, SightingRow.event == event,
                    SightingRow.slot == left_slot, SightingRow.seq == left_seq,
                    SightingRow.verdict.in_(_LINE),
                )  # fmt: skip
                for row in session.scalars(of_line):
                    row.verdict = "replay"
                    self.enter(session, REPLAYED, self._now_ms(), beacon=beacon_id, sighting=row.id)
            sighting = SightingRow(
                beacon=beacon_id, event=event, slot=slot, seq=seq, t_ms=t_ms,
                verdict=verdict, rssi_dbm=rssi_dbm, activation=activation,
            )  # fmt: skip
            session.add(sighting)
            beacon = session.get_one(BeaconRow, beacon_id)
            if verdict != "replay" and event > beacon.newest_event:
                beacon.newest_event = event
            if is_first:
                kind = "unknown" if activation is None else str(activation)
                session.flush()
                heard: dict[str, Any] = {
                    "sighting": sighting.id, "slot": slot, "seq": seq, "t_ms": t_ms,
                    "verdict": verdict, "activation": activation,
                }  # fmt: skip
                self.enter(session, ALERT, self._now_ms(), of=beacon, event=event,
                            detail=f"activation {kind}", **heard)  # fmt: skip


def _known(beacon_id: str, event: int) -> Select[int]:
    return select(SightingRow.id).where(
        SightingRow.beacon == beacon_id, SightingRow.event == event,
        SightingRow.verdict != "replay",
    ).limit(1)  # fmt: skip
