"""The rows of a batch: read from a CSV file, or made by counting."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fanal.error import UsageError

MOST_ROWS = 10_000

_COLUMNS = {"label", "site", "notes", "place", "profile"}
_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Row:
    """One beacon that is wanted. label: what is printed beside its id; site: one word."""

    number: int
    label: str
    site: str
    place: str = ""
    profile: str | None = None
    notes: str = ""


def read_list(path: Path, site: str | None = None) -> list[Row]:
    """Return the rows of a CSV file with a head: label, site, notes, and place and profile.

    site: for rows that name none. Raises UsageError with the line's number.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"The list {path} cannot be read: {reason}.") from None
    if len(raw) > _MOST_BYTES:
        raise UsageError(f"The list {path} is too long for one of a batch.", "Is it a CSV file?")
    reader = csv.DictReader(io.StringIO(text), dialect=_dialect(text))
    try:
        rows = _rows(reader, site, path.name)
    except csv.Error as problem:
        raise UsageError(
            f"The list {path.name} is no table: {problem}.", "Is it a CSV file?"
        ) from None
    require_size(len(rows))
    _require_distinct(rows)
    return rows


def count_rows(count: int, site: str | None) -> list[Row]:
    """Return `count` rows of one site. Raises UsageError."""
    require_size(count)
    return [_row(number, {}, site, "--site") for number in range(1, count + 1)]


def require_size(count: int) -> None:
    """Raise UsageError unless a batch can have so many rows."""
    if not 1 <= count <= MOST_ROWS:
        raise UsageError(f"A batch has 1 to {MOST_ROWS} beacons.", "Check the list or --count.")


def _rows(reader: "csv.DictReader[str]", site: str | None, list_name: str) -> list[Row]:
    heads = [(name or "").strip().lower() for name in reader.fieldnames or ()]
    names = dict(zip(heads, reader.fieldnames or (), strict=True))
    unknown = names.keys() - _COLUMNS
    if not names or unknown or not names.keys() & {"label", "site"}:
        what = f"an unknown column {sorted(unknown)[0]!r}" if unknown else "no column label or site"
        raise UsageError(
            f"The list {list_name} has {what}.", "Its first line is: label,site,notes,place,profile"
        )
    if len(names) < len(heads):
        raise UsageError(f"The list {list_name} has one column twice.", "Leave one of them out.")
    rows: list[Row] = []
    for line in reader:
        where = f"line {reader.line_num} of {list_name}"
        if any(line.get(None) or ()):
            raise UsageError(
                f"There are more cells than columns in {where}.",
                'A text with a comma in it stands in quotes: "by the door, left".',
            )
        cells = {key: (line.get(name) or "").strip() for key, name in names.items()}
        if any(cells.values()):
            rows.append(_row(len(rows) + 1, cells, site, where))
    return rows


def _row(number: int, cells: Mapping[str, str], site: str | None, where: str) -> Row:
    site = cells.get("site") or site or ""
    if not site.isprintable() or len(site.split()) != 1:
        raise UsageError(f"A site is one word, which {where} has not.", "For example shelter-3.")
    profile = cells.get("profile") or None
    if profile not in (None, "fixed", "carried"):
        raise UsageError(f"A profile is fixed or carried, not {profile!r} ({where}).")
    texts = [cells.get(name, "") for name in ("label", "place", "notes")]
    if not all(text.isprintable() for text in texts):
        raise UsageError(f"There are control characters in {where}.", "Leave them out.")
    label, place, notes = texts
    return Row(number, label, site, place, profile, notes)


def _require_distinct(rows: Iterable[Row]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.label and row.label in seen:
            raise UsageError(f"The label {row.label!r} is there twice.", "Give each its own.")
        seen.add(row.label)


def _dialect(text: str) -> type[csv.Dialect]:
    """Return comma or semicolon, whichever the first line has: spreadsheets differ by country."""
    head = text.split("\n", 1)[0]
    if head.count(";") > head.count(","):

        class Semicolon(csv.excel):
            delimiter = ";"

        return Semicolon
    return csv.excel
