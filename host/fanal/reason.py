"""Why something was done to a beacon: one line of plain text that a list and a log can show."""

from fanal.error import UsageError

_LONGEST = 120


def require_reason(reason: str) -> None:
    """Raise UsageError unless `reason` is one short line of plain text, and not empty."""
    if not reason.strip() or not reason.isprintable() or len(reason) > _LONGEST:
        raise UsageError(
            f"A reason is one line of plain text, at most {_LONGEST} letters.",
            "For example --reason lost.",
        )
