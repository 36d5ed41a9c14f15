"""Labels for beacons: which beacons get one, the pages, the file.

What is printed is a `Label`, an id and a text: no key, no place and no address can get this far.
"""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from fanal import beacon_lookup
from fanal.beacon_name import shown
from fanal.error import FanalError, UsageError
from fanal.keyring import write_private
from fanal.label_drawing import Label, sticker
from fanal.label_sheet import Sheet
from fanal.registry import PROVISIONED, RESERVED, RETIRED, VERIFIED, Beacon, Registry, revoked

# A page of A4 is 35 MB while it is drawn; all pages of a file are held at once.
MOST_DOTS = 700_000_000

_WHY_NOT = {
    RESERVED: ("was never provisioned to the end", "Run `fanal provision` with its board again."),
    RETIRED: ("was retired", "A label on it would lead astray whoever finds it."),
}


def chosen(
    registry: Registry, names: Sequence[str] = (), *, site: str | None = None
) -> list[Beacon]:
    """Return the beacons that get a label: those named, else all that are in service.

    names: ids as typed or scanned; each is printed once. site: only those there. Raises
    UsageError for a name that is of no beacon, FanalError for a beacon that gets no label.
    """
    if names:
        beacons = {b.beacon_id: b for b in (beacon_lookup.find(registry, n) for n in names)}
        for beacon in beacons.values():
            if beacon.state in _WHY_NOT:
                what, hint = _WHY_NOT[beacon.state]
                raise FanalError(
                    f"Beacon {shown(beacon.beacon_id)} {what}: it gets no label.",
                    hint,
                    code=f"label_{beacon.state}",
                )
            if beacon.revocation is not None:
                raise revoked(beacon)
        return list(beacons.values())
    return [
        beacon
        for beacon in registry.beacons()
        if beacon.state in (PROVISIONED, VERIFIED)
        and beacon.revocation is None
        and site in (None, beacon.site)
    ]


def draw(
    labels: Sequence[Label], sheet: Sheet, skip: int = 0, *, caption: str = ""
) -> list[Image.Image]:
    """Return the pages, 1 bit per dot, at the sheet's resolution.

    skip: how many labels of the first sheet are used already. caption: one more line on each.
    Raises UsageError: a text that does not fit, too many pages, a skip that is past the page.
    """
    if not labels:
        raise UsageError("There is nothing to print.", "Name beacons, or take --all.")
    if not 0 <= skip < sheet.per_page:
        raise UsageError(
            f"--skip {skip} leaves no label: a page of {sheet.name} has {sheet.per_page}.",
            "Give the number of labels that are missing from the first sheet.",
        )
    places = range(skip, skip + len(labels))
    count = places[-1] // sheet.per_page + 1
    width, height = sheet.page_px
    if count * width * height > MOST_DOTS:
        most = MOST_DOTS // (width * height) * sheet.per_page
        raise UsageError(
            f"{len(labels)} labels are too many for one file: {sheet.name} takes {most}.",
            "Print them in parts: by --site, or by naming beacons.",
        )
    pages = [Image.new("1", (width, height), 1) for _ in range(count)]
    for place, label in zip(places, labels, strict=True):
        left, top, _, _ = sheet.box(place % sheet.per_page)
        at = (sheet.px(left), sheet.px(top))
        pages[place // sheet.per_page].paste(sticker(label, sheet, caption), at)
    if sheet.has_cuts:
        for page in pages:
            _draw_cuts(page, sheet)
    return pages


def save(pages: Sequence[Image.Image], path: Path, sheet: Sheet) -> list[Path]:
    """Write the pages, at their true size, and return the files: each is whole or not there.

    path: `.pdf`, or `.png`, where several pages become `NAME-1.png`, `NAME-2.png` ... The same
    labels give the same bytes. Raises UsageError for another ending.
    """
    kind = path.suffix.lower()
    if kind == ".pdf":
        files = {path: _pdf(pages, sheet)}
    elif kind == ".png":
        digits = len(str(len(pages)))
        names = [path] if len(pages) == 1 else [
            path.with_stem(f"{path.stem}-{number:0{digits}}") for number in range(1, len(pages) + 1)
        ]  # fmt: skip
        files = {name: _png(page, sheet) for name, page in zip(names, pages, strict=True)}
    else:
        raise UsageError(
            f"{path.name} is neither .pdf nor .png.", "End the file's name in .pdf or .png."
        )
    for name, content in files.items():
        write_private(name, content)
    return list(files)


def _pdf(pages: Sequence[Image.Image], sheet: Sheet) -> bytes:
    file = io.BytesIO()
    first, *others = pages
    first.save(
        file, "PDF", save_all=True, append_images=others, resolution=sheet.dpi,
        title="", creationDate=None, modDate=None,
    )  # fmt: skip
    return file.getvalue()


def _png(page: Image.Image, sheet: Sheet) -> bytes:
    file = io.BytesIO()
    page.save(file, "PNG", dpi=(sheet.dpi, sheet.dpi))
    return file.getvalue()


def _draw_cuts(page: Image.Image, sheet: Sheet) -> None:
    """Draw the edges of all labels as thin lines."""
    pen = ImageDraw.Draw(page)
    for place in range(sheet.per_page):
        left, top, right, bottom = map(sheet.px, sheet.box(place))
        pen.rectangle((left, top, right, bottom), outline=0, width=2)


__all__ = ["Label", "chosen", "draw", "save"]
