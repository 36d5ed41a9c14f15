"""Where the sites of installed beacons are: the officer says so, and an alert shows it at once."""

from dataclasses import dataclass

from sqlalchemy import func, select

from fanal.error import FanalError
from fanal.hub import hub_log
from fanal.hub.store import Store
from fanal.hub.tables import BeaconRow, SiteRow
from fanal.position import SITE, Position
from fanal.whereabouts import require_site


@dataclass(frozen=True, slots=True)
class Site:
    """A site. position: None if nobody said where it is. beacons: that are watched there."""

    name: str
    position: Position | None
    beacons: int


def listed(store: Store) -> list[Site]:
    """Return all sites by name: those with a position, and those of beacons without one."""
    with store.reading() as session:
        rows = session.execute(
            select(BeaconRow.site, func.count())
            .where(BeaconRow.retired_ms.is_(None))
            .group_by(BeaconRow.site)
        )
        counted = {row.site: int(row[1]) for row in rows}
        placed = {row.name: _position(row) for row in session.scalars(select(SiteRow))}
        names = sorted(counted.keys() | placed.keys())
        return [Site(name, placed.get(name), counted.get(name, 0)) for name in names]


def put(store: Store, name: str, at: Position, who: str = hub_log.COMMAND_LINE) -> bool:
    """Say where a site is; return whether that is news. Raises UsageError."""
    require_site(name)
    with store.writing(shows=True) as session:
        row = session.get(SiteRow, name)
        if row is None:
            row = SiteRow(name=name)
            session.add(row)
        row.latitude, row.longitude, row.accuracy_m = at.latitude, at.longitude, at.accuracy_m
        is_news = session.is_modified(row)
        if is_news:
            hub_log.enter(session, hub_log.SITE, store.now_ms(), of=row, who=who)
        return is_news


def forget(store: Store, name: str, who: str = hub_log.COMMAND_LINE) -> None:
    """Take back where a site is. Raises FanalError if nobody said so."""
    with store.writing(shows=True) as session:
        row = session.get(SiteRow, name)
        if row is None:
            raise FanalError("Nobody said where that site is.", "See `fanal hub site list`.",
                             code="no_site")  # fmt: skip
        session.delete(row)
        hub_log.enter(session, hub_log.SITE_FORGOTTEN, store.now_ms(), site=name, who=who)


def _position(row: SiteRow) -> Position:
    return Position(row.latitude, row.longitude, row.accuracy_m, SITE)
