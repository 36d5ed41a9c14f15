"""A Sighting made in a tenth of the time: what a resolver does a hundred thousand times a second.

A frozen class is filled through `object.__setattr__`, field by field. This one has the same slots
and is not frozen, so that it is filled directly, and then becomes a Sighting.
"""

from typing import Any

from fanal_protocol.line import DUPLICATE

from fanal.heard import Heard, Receipt
from fanal.repeats import Known
from fanal.sighting import Sighting


class BareSighting:
    """The fields of a Sighting, in their order."""

    __slots__ = tuple(Sighting.__slots__)


def sighting(
    beacon_id: str, event: int, slot: int, seq: int, rid: bytes, status: int, battery_mv: int,
    crumbs: int, phase: int, readable: bool, verdict: str, left: tuple[Any, ...],
    rssi_dbm: int | None, t_ms: int, began_ms: int | None, receipt: Receipt | None,
) -> Sighting:  # fmt: skip
    """Return a Sighting of all its fields, in their order."""
    made: Any = BareSighting()
    made.beacon_id = beacon_id
    made.event = event
    made.slot = slot
    made.seq = seq
    made.rid = rid
    made.status = status
    made.battery_mv = battery_mv
    made.crumbs = crumbs
    made.phase = phase
    made.readable = readable
    made.verdict = verdict
    made.left = left
    made.rssi_dbm = rssi_dbm
    made.t_ms = t_ms
    made.began_ms = began_ms
    made.receipt = receipt
    made.__class__ = Sighting
    return made  # type: ignore[no-any-return]


def duplicate(known: Known, heard: Heard) -> Sighting:
    """Return the Sighting of what was seen already, as somebody heard it again."""
    made: Any = BareSighting()
    made.beacon_id = known.beacon_id
    made.event = known.event
    made.slot = known.slot
    made.seq = known.seq
    made.rid = known.rid
    made.status = known.status
    made.battery_mv = known.battery_mv
    made.crumbs = known.crumbs
    made.phase = known.phase
    made.readable = known.readable
    made.verdict = DUPLICATE
    made.left = ()
    made.rssi_dbm = heard.rssi_dbm
    made.t_ms = heard.t_ms
    made.began_ms = known.began_ms()
    made.receipt = heard.receipt
    made.__class__ = Sighting
    return made  # type: ignore[no-any-return]
