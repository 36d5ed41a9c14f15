"""The rows of a batch: read from a CSV file, or made by counting."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fanal.error import UsageError

_COLUMNS = {"label", "site", "notes", "place", "profile"}


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
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"The list {path} cannot be read: {reason}.") from None
    reader = csv.DictReader(io.StringIO(text), dialect=_dialect(text))
    names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    unknown = names.keys() - _COLUMNS
    if not names or unknown or not names.keys() & {"label", "site"}:
        what = f"an unknown column {sorted(unknown)[0]!r}" if unknown else "no column label or site"
        raise UsageError(
            f"The list {path.name} has {what}.", "Its first line is: label,site,notes,place,profile"
        )
    rows: list[Row] = []
    for line in reader:
        cells = {key: (line.get(name) or "").strip() for key, name in names.items()}
        if any(cells.values()):
            rows.append(_row(len(rows) + 1, cells, site, f"line {reader.line_num} of {path.name}"))
    _require_distinct(rows)
    return rows


def count_rows(count: int, site: str | None) -> list[Row]:
    """Return `count` rows of one site. Raises UsageError."""
    return [_row(number, {}, site, "--site") for number in range(1, count + 1)]


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
