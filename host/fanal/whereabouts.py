"""Where a beacon is, in words: what a list, a label of a responder and a log can show."""

from fanal.error import UsageError

MOST_LETTERS = 120


def require_site(site: str) -> None:
    """Raise UsageError unless `site` is one word of at most MOST_LETTERS."""
    if not site.isprintable() or len(site.split()) != 1 or len(site) > MOST_LETTERS:
        raise UsageError(
            f"A site is one word of at most {MOST_LETTERS} letters.",
            "For example --site shelter-3.",
        )


def require_place(place: str) -> None:
    """Raise UsageError unless `place` is one line of at most MOST_LETTERS, or empty."""
    if not place.isprintable() or len(place) > MOST_LETTERS:
        raise UsageError(
            f"A place is one line of plain text, at most {MOST_LETTERS} letters.",
            "For example --place 'room 12'.",
        )


def shown(site: str, place: str) -> str:
    """Return both as a person reads them: "shelter-3, room 12"."""
    return ", ".join(part for part in (site, place) if part)
