"""Where a beacon is, in words: what a list, a label of a responder and a log can show."""

from fanal.error import UsageError


def require_site(site: str) -> None:
    """Raise UsageError unless `site` is one word."""
    if not site.isprintable() or len(site.split()) != 1:
        raise UsageError("A site is one word.", "For example --site shelter-3.")


def require_place(place: str) -> None:
    """Raise UsageError unless `place` is one line of plain text, or empty."""
    if not place.isprintable():
        raise UsageError("A place is one line of plain text.", "Leave out control characters.")


def shown(site: str, place: str) -> str:
    """Return both as a person reads them: "shelter-3, room 12"."""
    return ", ".join(part for part in (site, place) if part)
