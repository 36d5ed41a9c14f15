"""One label, drawn in dots: a QR code, the id in letters that cannot be confused, a text.

Whoever searches a bag must not learn from it what they found, so there is nothing else on it: no
name of this project, no place, no address. The font, Atkinson Hyperlegible, was made by the
Braille Institute so that 8 and B, 5 and S, 2 and Z, 0 and D, 1 and 7 differ; it comes as a
package, so that the letters are the same on every machine.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache

import fontpkg_atkinson_hyperlegible
import segno
from PIL import Image, ImageDraw, ImageFont

from fanal.beacon_name import GROUP, parse
from fanal.error import UsageError
from fanal.label_sheet import Sheet

MODULES = 21  # of a QR code, version 1
QUIET = 4  # modules of white around it, which belong to it

_WHOLE = MODULES + 2 * QUIET
_MODULE_LEAST_MM = 0.25  # what a telephone resolves

_FONTS = fontpkg_atkinson_hyperlegible.ROOT / "files"
_BOLD = "AtkinsonHyperlegible-Bold.ttf"  # for the id
_REGULAR = "AtkinsonHyperlegible-Regular.ttf"  # for all else, so that nobody takes it for the id
# in shares of the font's size
_CAP = 0.668  # a capital's height
_OVER = 0.012  # how far round letters reach above that
_UNDER = 0.055  # and the tail of a Q below the line
_WIDEST = 0.883  # the W: ids of narrow letters are no larger than others
_SPACING = 0.06  # between two letters
_GROUP_GAP = 0.5
_ROW_GAP = 0.4  # more than between letters, or the id would be read in columns

_QR_SHARE = 0.45  # of the width, at most
_TEXT_SHARE = 0.19  # of the height
_TEXT_MOST_MM = 4.5
_TEXT_LEAST_MM = 1.3  # a capital's height, below which nobody reads it
_CAPTION_MM = 2.6
_CAPTION_LEAST_MM = 1.1
_GAP_MM = 0.9

Box = tuple[int, int, int, int]  # left, top, right, bottom, in dots


@dataclass(frozen=True)
class Label:
    """What is printed. beacon_id: 8 letters. text: the NGO's own, such as "A-017", or ""."""

    beacon_id: str
    text: str = ""

    def __post_init__(self) -> None:
        if parse(self.beacon_id) != self.beacon_id:
            raise ValueError("not an id as beacons have it")


def modules(beacon_id: str) -> list[list[bool]]:
    """Return the QR code of a bare id, 21 rows of 21, dark ones True, without the quiet zone.

    Alphanumeric, a third of it may be damaged (level H).
    """
    code = segno.make_qr(
        beacon_id, version=1, error="h", mode="alphanumeric", boost_error=False, mask=None
    )
    return [[bool(module) for module in row] for row in code.matrix]


def sticker(label: Label, sheet: Sheet, caption: str = "") -> Image.Image:
    """Return one label of a sheet, 1 bit per dot. Raises UsageError for a text that does not fit.

    caption: one more line, along the lower edge.
    """
    width, height = sheet.px(sheet.label[0]), sheet.px(sheet.label[1])
    image = Image.new("1", (width, height), 1)
    left, top = sheet.px(sheet.margin[0]), sheet.px(sheet.margin[1])
    right, bottom = width - left, height - top
    pen = ImageDraw.Draw(image)
    if caption := plain(caption):
        strip = sheet.px(_CAPTION_MM)
        _line(pen, caption, (left, bottom - strip, right, bottom), sheet.px(_CAPTION_LEAST_MM))
        bottom -= strip + sheet.px(_GAP_MM)
    if (bottom - top) // _WHOLE < sheet.px(_MODULE_LEAST_MM):
        raise UsageError(
            f"There is no room for a caption on {sheet.name}.", "Leave it out.", code="label_text"
        )
    edge = _qr(pen, label.beacon_id, (left, top, right, bottom))
    text, strip, gap = plain(label.text), 0, 0
    if text:
        strip = min(round(_TEXT_SHARE * (bottom - top)), sheet.px(_TEXT_MOST_MM))
        gap = strip // 2
    below = gap + _letters(pen, label.beacon_id, (edge, top, right, bottom), strip + gap)
    if text:
        _line(pen, text, (edge, below, right, below + strip), sheet.px(_TEXT_LEAST_MM))
    return image


def plain(text: str) -> str:
    """Return a text as it is printed. Raises UsageError for what the font cannot show."""
    text = unicodedata.normalize("NFC", text).strip()
    for letter in text:
        if not letter.isprintable() or _drawn(letter) == _drawn("\U0010fffe"):
            shown = letter if letter.isprintable() else f"U+{ord(letter):04X}"
            raise UsageError(
                f"The label's font has no {shown}.",
                "Labels take Latin letters, digits and the usual marks.",
                code="label_text",
            )
    return text


def _qr(pen: ImageDraw.ImageDraw, beacon_id: str, box: Box) -> int:
    """Draw the code at the left of a box, half-way down; return where it ends, quiet zone too."""
    left, top, right, bottom = box
    size = min(bottom - top, int(_QR_SHARE * (right - left))) // _WHOLE
    down = top + (bottom - top - _WHOLE * size) // 2 + QUIET * size
    for row, dots in enumerate(modules(beacon_id)):
        for column, is_dark in enumerate(dots):
            if is_dark:
                x, y = left + (QUIET + column) * size, down + row * size
                pen.rectangle((x, y, x + size - 1, y + size - 1), fill=0)
    return left + _WHOLE * size


def _letters(pen: ImageDraw.ImageDraw, beacon_id: str, box: Box, reserved: int) -> int:
    """Draw the id, its two groups side by side or one below the other: whichever is larger.

    reserved: what comes below it, in dots; both stand half-way down. Return where the id ends.
    """
    left, top, right, bottom = box
    width, height = right - left, bottom - top - reserved
    group = GROUP * _WIDEST + (GROUP - 1) * _SPACING
    row = _OVER + _CAP + _UNDER
    beside = min(width / (2 * group + _GROUP_GAP), height / row)
    stacked = min(width / group, height / (row + _CAP + _ROW_GAP))
    size = int(max(beside, stacked))
    tall = (row if beside > stacked else row + _CAP + _ROW_GAP) * size
    x, base = float(left), top + (height - tall) / 2 + (_OVER + _CAP) * size
    for place, letter in enumerate(beacon_id):
        if place == GROUP and beside > stacked:
            x += (_GROUP_GAP - _SPACING) * size
        elif place == GROUP:
            x, base = float(left), base + (_CAP + _ROW_GAP) * size
        pen.text((round(x), round(base)), letter, fill=0, font=_font(_BOLD, size), anchor="ls")
        x += _font(_BOLD, size).getlength(letter) + _SPACING * size
    return round(base)


def _line(pen: ImageDraw.ImageDraw, text: str, box: Box, least: int) -> None:
    """Draw one line as large as it fits into a box, capitals at least `least` dots high."""
    left, top, right, bottom = box
    for size in range(int((bottom - top) / _CAP), int(least / _CAP), -1):
        x0, y0, x1, y1 = map(round, _font(_REGULAR, size).getbbox(text, anchor="ls"))
        if x1 - x0 <= right - left and y1 - y0 <= bottom - top:
            down = top + (bottom - top - (y1 - y0)) // 2
            pen.text((left - x0, down - y0), text, fill=0, font=_font(_REGULAR, size), anchor="ls")
            return
    raise UsageError(
        f"“{text}” is too long for this label.",
        "Take a shorter text, or a larger label.",
        code="label_text",
    )


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_FONTS / name), size, layout_engine=ImageFont.Layout.BASIC)


def _drawn(letter: str) -> tuple[tuple[int, int], bytes]:
    mask = _font(_REGULAR, 40).getmask(letter)
    return mask.size, bytes(mask)
