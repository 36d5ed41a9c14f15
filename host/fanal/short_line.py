"""A line of one alert, which most lines are: no more than that alert. SPEC 3.2.

From the second one on, and wherever the first is not judged at a glance, it is a `Line`.
"""

from collections.abc import Sequence

from fanal_protocol.line import DUPLICATE, FRESH, Entry, Line, Verdict
from fanal_protocol.slot import UNIT_S, UNITS

_TOLERANCE_MS = 30_000  # of `Line`, for two alerts of one unit
_FRESH = Verdict(FRESH, ())
_DUPLICATE = Verdict(DUPLICATE, ())


class ShortLine:
    """What a `Line` is, for entries that are in range."""

    __slots__ = ("_line", "_only")

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        """entries: as of a `Line`."""
        self._only: Entry | None = None
        self._line: Line | None = Line(entries) if entries else None

    def entries(self) -> tuple[Entry, ...]:
        """As `Line.entries`."""
        if self._line is not None:
            return self._line.entries()  # type: ignore[no-any-return]
        return () if self._only is None else (self._only,)

    def began_ms(self) -> int | None:
        """As `Line.began_ms`."""
        only = self._only
        if only is not None:
            return only.t_ms - 1000 * UNIT_S * (UNITS * only.slot + only.seq)  # type: ignore[no-any-return]
        return None if self._line is None else self._line.began_ms()

    def judge(self, entry: Entry, later_began_ms: int | None = None) -> Verdict:
        """As `Line.judge`."""
        if later_began_ms is None and self._line is None:
            if self._only is None:
                self._only = entry
                return _FRESH
            if self._is_again(entry):
                return _DUPLICATE
        return self._whole().judge(entry, later_began_ms)

    def glance(self, entry: Entry, later_began_ms: int | None = None) -> str:
        """As `Line.glance`."""
        if later_began_ms is None and self._only is not None and self._is_again(entry):
            return DUPLICATE  # type: ignore[no-any-return]
        return self._whole().glance(entry, later_began_ms)  # type: ignore[no-any-return]

    def _is_again(self, entry: Entry) -> bool:
        """Return whether it is the only alert, heard at about the same time."""
        only = self._only
        assert only is not None
        is_near: bool = -_TOLERANCE_MS <= entry.t_ms - only.t_ms <= _TOLERANCE_MS
        return is_near and entry.seq == only.seq and entry.slot == only.slot

    def _whole(self) -> Line:
        """Return the Line that this one is from now on."""
        if self._line is None:
            self._line = Line(() if self._only is None else (self._only,))
            self._only = None
        return self._line
