"""What labels are printed on: sheets of stickers, plain paper to cut, rolls of thermal printers.

The sizes are the manufacturers' nominal ones. On all of these sheets the labels lie centred on the
page, so a sheet is its page, its label, how many of them, and how far from one to the next.
"""

from dataclasses import dataclass

from fanal.error import UsageError

MM_PER_INCH = 25.4

_A4 = (210.0, 297.0)
_LETTER = (215.9, 279.4)
_SHEET_DPI = 600
_BROTHER_DPI = 300


@dataclass(frozen=True)
class Sheet:
    """One format. Lengths in mm, (across, down).

    pitch: from the edge of one label to that of the next. margin: inside a label, where nothing
    is printed, since printers miss by about a millimetre. has_cuts: draw where to cut.
    """

    name: str
    title: str
    page: tuple[float, float]
    label: tuple[float, float]
    columns: int = 1
    rows: int = 1
    pitch: tuple[float, float] = (0.0, 0.0)
    margin: tuple[float, float] = (2.0, 2.0)
    dpi: int = _SHEET_DPI
    has_cuts: bool = False

    @property
    def per_page(self) -> int:
        """How many labels are on a page."""
        return self.columns * self.rows

    @property
    def page_px(self) -> tuple[int, int]:
        """The size of a page in dots."""
        return self.px(self.page[0]), self.px(self.page[1])

    def px(self, mm: float) -> int:
        """Return a length in dots, rounded."""
        return round(mm * self.dpi / MM_PER_INCH)

    def box(self, place: int) -> tuple[float, float, float, float]:
        """Return the left, top, right and bottom edge, in mm, of a label: 0 to per_page - 1.

        Places run along the rows, as one reads.
        """
        row, column = divmod(place, self.columns)
        left = self._first(0, self.columns) + column * self.pitch[0]
        top = self._first(1, self.rows) + row * self.pitch[1]
        return left, top, left + self.label[0], top + self.label[1]

    def _first(self, axis: int, count: int) -> float:
        return (self.page[axis] - self.label[axis] - (count - 1) * self.pitch[axis]) / 2


def _roll(
    name: str,
    title: str,
    label: tuple[float, float],
    dpi: int,
    margin: tuple[float, float] = (1.5, 1.5),
) -> Sheet:
    return Sheet(name, title, label, label, margin=margin, dpi=dpi)


_ALL = (
    Sheet("avery-l7160", "Avery L7160: A4, 21 of 63.5 x 38.1 mm", _A4, (63.5, 38.1), 3, 7,
          (66.04, 38.1)),
    Sheet("avery-l7651", "Avery L7651: A4, 65 of 38.1 x 21.2 mm", _A4, (38.1, 21.2), 5, 13,
          (40.6, 21.2), (1.5, 1.5)),
    Sheet("avery-5160", "Avery 5160: Letter, 30 of 2 5/8 x 1 inch", _LETTER, (66.675, 25.4), 3, 10,
          (69.85, 25.4)),
    Sheet("avery-5167", "Avery 5167: Letter, 80 of 1 3/4 x 1/2 inch", _LETTER, (44.45, 12.7), 4, 20,
          (52.3875, 12.7), (1.5, 1.0)),
    Sheet("a4-70x37", "A4 without gaps, 24 of 70 x 37 mm (Avery 3474)", _A4, (70.0, 37.0), 3, 8,
          (70.0, 37.0), (5.0, 2.0)),
    Sheet("a4-cut", "plain A4 to cut along lines, 40 of 45 x 25 mm", _A4, (45.0, 25.0), 4, 10,
          (45.0, 25.0), has_cuts=True),
    # the printer leaves 3 mm free along the roll and 1.5 mm across it
    _roll("thermal-29x62", "Brother DK-11209 roll, 62 x 29 mm, 300 dpi", (62.0, 29.0),
          _BROTHER_DPI, (2.0, 3.1)),
    _roll("thermal-51x25-203", "2 x 1 inch roll (Zebra and others), 203 dpi", (50.8, 25.4), 203),
    _roll("thermal-51x25-300", "2 x 1 inch roll (Zebra and others), 300 dpi", (50.8, 25.4), 300),
)  # fmt: skip

SHEETS = {sheet.name: sheet for sheet in _ALL}


def by_name(name: str) -> Sheet:
    """Return the format of that name. Raises UsageError, which names all of them."""
    if name not in SHEETS:
        raise UsageError(f"There is no label format {name}.", f"Take one of: {', '.join(SHEETS)}.")
    return SHEETS[name]
