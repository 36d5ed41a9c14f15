"""A place in the rows of many tables: in, and out again."""

from typing import Any

from sqlalchemy import Row

from fanal.hub.tables import ListenerRow, Placed
from fanal.position import FIXED, Position


def columns(at: Position | None) -> dict[str, Any]:
    """Return the columns of a place, see `tables.Placed`."""
    return {
        "latitude": None if at is None else at.latitude,
        "longitude": None if at is None else at.longitude,
        "accuracy_m": None if at is None else at.accuracy_m,
        "source": None if at is None else at.source,
    }


def put(row: Placed, at: Position | None) -> None:
    """Write a place into a row."""
    for name, value in columns(at).items():
        setattr(row, name, value)


def place_of(row: Placed | Row[Any]) -> Position | None:
    """Return the place in a row, None if there is none."""
    if row.latitude is None or row.longitude is None:
        return None
    return Position(row.latitude, row.longitude, row.accuracy_m or 0.0, row.source or "")


def fixed_place_of(row: ListenerRow) -> Position | None:
    """Return where the officer said that a listener is, None if it was not said."""
    if row.fixed_latitude is None or row.fixed_longitude is None:
        return None
    return Position(row.fixed_latitude, row.fixed_longitude, row.fixed_accuracy_m or 0.0, FIXED)
