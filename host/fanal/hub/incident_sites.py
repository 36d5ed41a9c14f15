"""Who stands where: sites and horizons of beacons, places of listeners, as the officer says."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from fanal.hub.placed import fixed_place_of
from fanal.hub.tables import BeaconRow, ListenerRow, SiteRow
from fanal.position import SITE, Position
from fanal.sighting import Outcome, Refusal, Sighting

_INSTALLED = "fixed"  # the profile of a beacon that stays where it is


@dataclass(frozen=True, slots=True)
class HeardBy:
    """A listener beside what it heard. position: the officer's word, or else its own."""

    is_enrolled: bool
    position: Position | None


@dataclass(frozen=True)
class Scene:
    """sites: by beacon id, of those that are installed at a site that has a place."""

    sites: dict[str, Position]
    _horizons: dict[str, int]
    _enrolled: frozenset[str]
    _fixed: dict[str, Position]

    def listener(self, seen: Sighting) -> HeardBy:
        """Return who heard an alert."""
        assert seen.receipt is not None
        key = seen.receipt.listener
        return HeardBy(key in self._enrolled, self._fixed.get(key, seen.receipt.position))

    def may_be_replay(self, seen: Sighting) -> bool:
        """Return whether an alert is of an event that was over or under way at a restore."""
        return seen.may_be_replay(self._horizons.get(seen.beacon_id, 0))


def scene_of(session: Session, outcomes: Iterable[Outcome]) -> Scene:
    """Read what a batch of outcomes needs."""
    outcomes = list(outcomes)
    seen = [one for one in outcomes if isinstance(one, Sighting)]
    # a page alone moves an incident too
    beacons = {one.beacon_id for one in outcomes if not isinstance(one, Refusal)}
    sites = session.execute(
        select(BeaconRow.id, SiteRow.latitude, SiteRow.longitude, SiteRow.accuracy_m)
        .join(SiteRow, SiteRow.name == BeaconRow.site)
        .where(BeaconRow.profile == _INSTALLED, BeaconRow.id.in_(beacons))
    )  # fmt: skip
    horizons = session.execute(
        select(BeaconRow.id, BeaconRow.horizon)
        .where(BeaconRow.horizon.is_not(None), BeaconRow.id.in_(beacons))
    )  # fmt: skip
    listeners = session.scalars(
        select(ListenerRow)
        .where(ListenerRow.key.in_({s.receipt.listener for s in seen if s.receipt}))
    ).all()  # fmt: skip
    return Scene(
        {row.id: Position(row.latitude, row.longitude, row.accuracy_m, SITE) for row in sites},
        {row.id: row.horizon for row in horizons},
        frozenset(row.key for row in listeners if row.enrolled_ms is not None),
        {row.key: place for row in listeners if (place := fixed_place_of(row)) is not None},
    )
