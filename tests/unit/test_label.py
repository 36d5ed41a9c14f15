"""Labels: what is on them, where it is to the millimetre, and what must never be on them."""

import base64
import hashlib
import json
import re
import struct
from itertools import combinations

import pytest
from click.testing import CliRunner
from fanal import fleet as fleet_module
from fanal import keyring, label, label_drawing, private_file
from fanal.beacon_name import ALPHABET
from fanal.cli import main
from fanal.error import FanalError, UsageError
from fanal.label import Label, chosen, draw, save
from fanal.label_drawing import sticker
from fanal.label_sheet import MM_PER_INCH, SHEETS, by_name
from fanal.registry import Clash, Registry, Reservation
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from tests.unit import qr_reader
from tests.unit.paper_fleet import PaperFleet

IDS = st.text(alphabet=ALPHABET, min_size=8, max_size=8)
WIDEST = Label("WWWWMMMM", "W-WWW")
ALL = sorted(SHEETS.values(), key=lambda sheet: sheet.name)
FONTS = {
    "AtkinsonHyperlegible-Bold.ttf":
        "5a3b0c8cc8ca545155150b4512a1fa248298df121c50d6557e651e61fbdab92f",
    "AtkinsonHyperlegible-Regular.ttf":
        "7fb917c89019896d0b52ee84b7cbb3304c18cb90b19a62f5e32712bd23e97669",
}  # fmt: skip
SITE, PLACE, MAC = "shelter-of-the-north", "room 12, under the desk", "02:ab:cd:ef:01:23"
each_sheet = pytest.mark.parametrize("sheet", ALL, ids=lambda sheet: sheet.name)


def ink(image):
    """Return the box of what is dark: left, top, right, bottom in dots, or None."""
    return ImageChops.invert(image.convert("L")).getbbox()


def crop(page, sheet, place):
    """Return the part of a page where a label is."""
    return page.crop(tuple(map(sheet.px, sheet.box(place))))


# -- what a label says


@pytest.mark.parametrize("name", SHEETS)
@given(beacon_id=IDS)
@settings(max_examples=5)
def test_the_code_is_the_bare_id(name, beacon_id):
    image = sticker(Label(beacon_id, "A-017"), SHEETS[name])
    text, level = qr_reader.read(qr_reader.modules(image))
    assert (text, level) == (beacon_id, qr_reader.LEVEL_H)


def test_the_reader_can_fail():
    rows = qr_reader.modules(sticker(Label("K7Q29XMD"), ALL[0]))
    for r, c in ((13, 19), (12, 20), (10, 17)):
        rows[r][c] = not rows[r][c]
        assert qr_reader.read(rows)[0] != "K7Q29XMD"
        rows[r][c] = not rows[r][c]


@each_sheet
def test_everything_is_inside_the_label_and_large_enough(sheet):
    for one in (WIDEST, Label("11111111"), Label("QQQQQQQQ", "gjpqy")):
        for caption in ("", "Ágjqy 0123") if sheet.label[1] > 20 else ("",):
            image = sticker(one, sheet, caption)
            left, top, right, bottom = ink(image)
            assert left >= sheet.px(sheet.margin[0]) - 1
            assert top >= sheet.px(sheet.margin[1]) - 1
            assert right <= image.width - sheet.px(sheet.margin[0]) + 1
            assert bottom <= image.height - sheet.px(sheet.margin[1]) + 1
            if caption:
                image = image.crop(
                    (0, 0, image.width, image.height - sheet.px(sheet.margin[1] + 3))
                )
            _, _, module = qr_reader.find(image)
            assert module * MM_PER_INCH / sheet.dpi >= 0.25  # what phones and readers resolve


@each_sheet
@pytest.mark.parametrize("text", ["", "A-017"])
def test_the_id_is_in_letters_that_arms_length_reads(sheet, text):
    image = sticker(Label("HHHHHHHH", text), sheet)
    left, _, module = qr_reader.find(image)
    column = image.crop((left + 25 * module, 0, image.width, image.height))
    top = ink(column)[1]
    rows = [ink(column.crop((0, y, column.width, y + 1))) for y in range(top, column.height)]
    height = [*(bool(row) for row in rows), False].index(False)
    assert height * MM_PER_INCH / sheet.dpi >= 2.2


def test_letters_that_are_confused_elsewhere_differ():
    """At the resolution of the coarsest printer and the size of the smallest label."""
    sheet = SHEETS["thermal-51x25-203"]
    font = label_drawing._font(label_drawing._BOLD, sheet.px(3.5))

    def drawn(letter):
        image = Image.new("1", (60, 60), 1)
        pen = label_drawing.ImageDraw.Draw(image)
        pen.text((5, 50), letter, fill=0, font=font, anchor="ls")
        return image.convert("L")

    dark = {letter: sum(drawn(letter).histogram()[:1]) for letter in ALPHABET}
    for one, other in combinations(ALPHABET, 2):
        apart = ImageChops.difference(drawn(one), drawn(other)).histogram()[255]
        assert apart >= 0.2 * min(dark[one], dark[other]), (one, other)


def test_the_font_is_the_one_that_was_looked_at():
    for name, expected in FONTS.items():
        content = (label_drawing._FONTS / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == expected


# -- texts


@each_sheet
def test_a_text_fits_whole_or_is_refused(sheet):
    fitted = 0
    while (image := labelled("W" * (fitted + 1), sheet)) is not None:
        assert ink(image)[2] <= image.width - sheet.px(sheet.margin[0]) + 1
        fitted += 1
    assert 5 <= fitted < 40
    assert all(labelled("W" * n, sheet) is None for n in range(fitted + 1, fitted + 10))


def labelled(text, sheet):
    """Return a label with that text, or None if it is refused."""
    try:
        return sticker(Label("K7Q29XMD", text), sheet)
    except UsageError:
        return None


@pytest.mark.parametrize(
    ("name", "caption"), [("avery-l7160", "If found please call " * 5), ("avery-5167", "A")]
)
def test_a_caption_that_has_no_room_is_refused(name, caption):
    with pytest.raises(UsageError) as caught:
        sticker(Label("K7Q29XMD"), SHEETS[name], caption)
    assert caught.value.code == "label_text"


@pytest.mark.parametrize("text", ["A-017", "Küche №".replace("№", "3"), "ÁÉÍ ñ ç ş ő", "", "  a  "])
def test_texts_that_labels_take(text):
    image = sticker(Label("K7Q29XMD", text), SHEETS["avery-l7160"])
    bare = sticker(Label("K7Q29XMD"), SHEETS["avery-l7160"])
    assert (image.tobytes() != bare.tobytes()) == bool(text)


@pytest.mark.parametrize(
    "text", ["a\nb", "a\tb", "\x1b[0m", "\u202eabc", "مأوى", "火", "🆘", "a\x00"]
)
def test_texts_that_no_label_shows_are_refused(text):
    for one, caption in ((Label("K7Q29XMD", text), ""), (Label("K7Q29XMD"), text)):
        with pytest.raises(UsageError) as caught:
            sticker(one, ALL[0], caption)
        assert caught.value.code == "label_text"
        assert caught.value.sentence.isprintable()


@pytest.mark.parametrize("beacon_id", ["", "K7Q29XM", "k7q29xmd", "K7Q2-9XMD", "0" * 9])
def test_only_an_id_is_an_id(beacon_id):
    with pytest.raises((UsageError, ValueError)):
        Label(beacon_id)


# -- sheets


@each_sheet
def test_no_label_is_over_the_edge_or_over_its_neighbour(sheet):
    boxes = [sheet.box(place) for place in range(sheet.per_page)]
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= sheet.page[0] + 1e-9
        assert 0 <= top < bottom <= sheet.page[1] + 1e-9
    for (l1, t1, r1, b1), (l2, t2, r2, b2) in combinations(boxes, 2):
        across = min(r1, r2) - max(l1, l2)
        down = min(b1, b2) - max(t1, t2)
        assert across <= 1e-9 or down <= 1e-9


@pytest.mark.parametrize(
    ("name", "first", "last", "count"),
    [
        # left and top of the first label, left and top of the last, in mm
        ("avery-l7160", (7.2, 15.1), (139.3, 243.8), 21),
        ("avery-l7651", (4.7, 10.7), (167.1, 265.1), 65),
        ("avery-5160", (4.76, 12.7), (144.46, 241.3), 30),
        ("avery-5167", (7.14, 12.7), (164.3, 254.0), 80),
        ("thermal-29x62", (0, 0), (0, 0), 1),
    ],
)
def test_where_the_stickers_are(name, first, last, count):
    sheet = by_name(name)
    assert sheet.per_page == count
    assert sheet.box(0)[:2] == pytest.approx(first, abs=0.1)
    assert sheet.box(count - 1)[:2] == pytest.approx(last, abs=0.1)


@each_sheet
def test_a_full_page_has_each_label_in_its_place(sheet):
    ids = [f"{place:08}" for place in range(sheet.per_page)]
    (page,) = draw([Label(i) for i in ids], sheet)
    for place, beacon_id in enumerate(ids):
        part = crop(page, sheet, place)
        if sheet.has_cuts:
            inside = (10, 10, part.width - 10, part.height - 10)
            part = part.crop(inside)
        assert qr_reader.read(qr_reader.modules(part))[0] == beacon_id
    if not sheet.has_cuts:
        for place in range(sheet.per_page):
            left, top, right, bottom = map(sheet.px, sheet.box(place))
            page.paste(1, (left, top, right, bottom))
        assert ink(page) is None


def test_skipped_labels_stay_empty_and_pages_follow():
    sheet = SHEETS["avery-l7160"]
    pages = draw([Label(f"{n:08}") for n in range(20)], sheet, skip=18)
    assert len(pages) == 2
    assert [ink(crop(pages[0], sheet, n)) is None for n in range(21)] == [True] * 18 + [False] * 3
    assert [ink(crop(pages[1], sheet, n)) is None for n in range(21)] == [False] * 17 + [True] * 4
    assert qr_reader.read(qr_reader.modules(crop(pages[1], sheet, 0)))[0] == "00000003"


@pytest.mark.parametrize(("name", "skip"), [("avery-l7160", 21), ("avery-l7160", -1),
                                            ("thermal-29x62", 1)])  # fmt: skip
def test_a_page_that_is_all_used(name, skip):
    with pytest.raises(UsageError):
        draw([Label("K7Q29XMD")], SHEETS[name], skip)


def test_too_many_for_one_file(monkeypatch):
    sheet = SHEETS["thermal-29x62"]
    width, height = sheet.page_px
    monkeypatch.setattr(label, "MOST_DOTS", 3 * width * height)
    assert len(draw([Label("K7Q29XMD")] * 3, sheet)) == 3
    with pytest.raises(UsageError, match="takes 3"):
        draw([Label("K7Q29XMD")] * 4, sheet)
    with pytest.raises(UsageError):
        draw([], sheet)


# -- files


@each_sheet
@pytest.mark.parametrize("count", [1, 2])
def test_a_pdf_has_the_size_of_the_sheet(tmp_path, sheet, count):
    pages = draw([Label("K7Q29XMD")] * ((count - 1) * sheet.per_page + 1), sheet)
    (path,) = save(pages, tmp_path / "labels.pdf", sheet)
    boxes = re.findall(rb"/MediaBox\s*\[\s*0\s+0\s+([\d.]+)\s+([\d.]+)\s*\]", path.read_bytes())
    assert len(boxes) == count
    for width, height in boxes:
        size_mm = (float(width) / 72 * MM_PER_INCH, float(height) / 72 * MM_PER_INCH)
        assert size_mm == pytest.approx(sheet.page, abs=0.07)


@each_sheet
def test_a_png_has_the_size_of_the_sheet(tmp_path, sheet):
    (path,) = save(draw([Label("K7Q29XMD")], sheet), tmp_path / "label.PNG", sheet)
    with Image.open(path) as image:
        assert image.mode == "1"
        for dots, dpi, mm in zip(image.size, image.info["dpi"], sheet.page, strict=True):
            assert dots / dpi * MM_PER_INCH == pytest.approx(mm, abs=0.1)


def test_several_pages_are_several_pngs(tmp_path):
    sheet = SHEETS["thermal-29x62"]
    paths = save(draw([Label(f"{n:08}") for n in range(12)], sheet), tmp_path / "a.png", sheet)
    assert [path.name for path in paths] == [f"a-{n:02}.png" for n in range(1, 13)]
    with Image.open(paths[9]) as image:
        assert qr_reader.read(qr_reader.modules(image))[0] == "00000009"


@pytest.mark.parametrize("name", ["a.pdf", "a.png"])
def test_the_same_labels_give_the_same_bytes_and_nothing_beside_them(tmp_path, name):
    sheet = SHEETS["thermal-51x25-203"]
    pages = draw([Label("K7Q29XMD", "A-017")], sheet)
    path = tmp_path / name
    save(pages, path, sheet)
    first = path.read_bytes()
    save(pages, path, sheet)
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == [name]
    if name.endswith("png"):
        assert chunks(first) == ["IHDR", "pHYs", "IDAT", "IEND"]
    else:
        assert b"/Title" not in first
        assert b"Date" not in first
        assert str(tmp_path).encode() not in first


def chunks(content):
    """Return the names of a PNG's chunks."""
    found, at = [], 8
    while at < len(content):
        length, name = struct.unpack(">I4s", content[at : at + 8])
        found.append(name.decode())
        at += 12 + length
    return found


@pytest.mark.parametrize("name", ["a.pdf", "a.png"])
def test_a_cut_in_the_middle_leaves_the_old_file(tmp_path, monkeypatch, name):
    sheet = SHEETS["thermal-29x62"]
    path = tmp_path / name
    path.write_bytes(b"old")

    def cut(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_file.os, "replace", cut)
    with pytest.raises(OSError, match="No space"):
        save(draw([Label("K7Q29XMD")], sheet), path, sheet)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(name, b"old")]


@pytest.mark.parametrize("name", ["a", "a.txt", "a.pdf.gz", ".pdf"])
def test_other_endings(tmp_path, name):
    with pytest.raises(UsageError):
        save(draw([Label("K7Q29XMD")], ALL[0]), tmp_path / name, ALL[0])
    assert list(tmp_path.iterdir()) == []


# -- the registry


def reserve(registry, beacon_id, key, state, site=SITE):
    mac = f"{MAC[:-2]}{key:02x}"
    registry.reserve(
        Reservation(beacon_id, bytes([key]) * 32, mac, "ESP32C3", 0, site, PLACE, "fixed")
    )
    if state != "reserved":
        registry.provisioned(
            beacon_id, b"certificate", site=site, place=PLACE, profile="fixed", settings={}
        )
    if state == "verified":
        registry.verified(beacon_id)
    if state == "retired":
        registry.retire(beacon_id, "broken")


@pytest.fixture
def registry(tmp_path):
    fleet = PaperFleet(tmp_path)
    for key, (beacon_id, state, site) in enumerate(
        [
            ("AAAAAAAA", "provisioned", SITE), ("BBBBBBBB", "verified", SITE),
            ("CCCCCCCC", "reserved", SITE), ("DDDDDDDD", "retired", SITE),
            ("EEEEEEEE", "verified", "elsewhere"), ("FFFFFFFF", "verified", SITE),
        ],
        1,
    ):  # fmt: skip
        reserve(fleet.registry, beacon_id, key, state, site)
    fleet.registry.revoke("FFFFFFFF", "stolen")
    yield fleet.registry
    fleet.registry.close()


def ids(beacons):
    return [beacon.beacon_id for beacon in beacons]


def test_all_that_are_in_service(registry):
    assert ids(chosen(registry)) == ["AAAAAAAA", "BBBBBBBB", "EEEEEEEE"]
    assert ids(chosen(registry, site="elsewhere")) == ["EEEEEEEE"]
    assert chosen(registry, site="nowhere") == []


def test_named_ones_as_a_reader_types_them_once_each(registry):
    names = ("fanal:bbbb-bbbb\r\n", "AAAAAAAA", "BBBB BBBB")
    assert ids(chosen(registry, names)) == ["BBBBBBBB", "AAAAAAAA"]


@pytest.mark.parametrize(
    ("name", "error", "code"),
    [
        ("CCCCCCCC", FanalError, "label_reserved"),
        ("DDDDDDDD", FanalError, "label_retired"),
        ("FFFFFFFF", Clash, "revoked"),
        ("GGGGGGGG", UsageError, "unknown_beacon"),
        ("nonsense!", UsageError, "beacon_id"),
    ],
)
def test_refused(registry, name, error, code):
    with pytest.raises(error) as caught:
        chosen(registry, ("AAAAAAAA", name))
    assert caught.value.code == code


# -- the command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A fleet with one beacon, and a folder to write to."""
    monkeypatch.setattr(keyring.pyrage.passphrase, "encrypt", lambda text, _: b"sealed " + text[:4])
    fleet_module.create(tmp_path / "fleet", "correct horse battery staple")
    with Registry(tmp_path / "fleet" / "registry.db") as registry:
        reserve(registry, "K7Q29XMD", 0x5E, "verified")
    return tmp_path


def run(folder, *args):
    return CliRunner().invoke(main, ["--fleet", str(folder / "fleet"), "label", *args])


def test_the_command_prints_files(folder):
    out = folder / "labels.pdf"
    result = run(folder, "--all", "--format", "avery-5160", "--skip", "3", "--out", str(out))
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    result = run(folder, "K7Q2-9XMD", "--text", "A-017", "--format", "thermal-29x62", "--json",
                 "--out", str(folder / "one.png"))  # fmt: skip
    told = json.loads(result.stdout)
    assert told == {
        "ok": True, "format": "thermal-29x62", "pages": 1, "files": [str(folder / "one.png")],
        "beacons": ["K7Q29XMD"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "args",
    [
        (), ("K7Q29XMD", "--all"), ("--all", "--site", SITE), ("--all", "--text", "A"),
        ("--site", "nowhere"), ("K7Q29XMX",), ("--all", "--skip", "30"), ("--all", "--skip", "-1"),
        ("--all", "--format", "avery-1"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_writes_nothing(folder, args):
    result = run(folder, "--format", "avery-5160", "--out", str(folder / "l.pdf"), *args)
    assert result.exit_code == 2
    assert not (folder / "l.pdf").exists()


@pytest.mark.parametrize("name", ["labels.pdf", "labels.png"])
def test_nothing_else_is_in_the_file(folder, name):
    path = folder / name
    result = run(folder, "--site", SITE, "--format", "avery-5160", "--out", str(path))
    assert result.exit_code == 0, result.output
    content = path.read_bytes().lower()
    key = bytes([0x5E]) * 32
    secrets = [
        SITE.encode(), PLACE.encode(), MAC[:8].encode(), b"fanal", b"beacon",
        str(folder).encode(), key, key.hex().encode(), base64.b64encode(key).lower(),
        base64.b32encode(key).lower(),
    ]  # fmt: skip
    assert [secret for secret in secrets if secret in content and len(secret) > 1] == []


def test_two_ways_to_choose_are_one_too_many(folder):
    for args, said in (
        (("--all", "--site", SITE), "Take --all or --site, not both."),
        (("K7Q29XMD", "--all"), "Name beacons, or take --all or --site, not both."),
        ((), "Which beacons?"),
    ):
        result = run(folder, *args, "--format", "avery-5160", "--out", str(folder / "x.pdf"))
        assert result.exit_code == 2
        assert said in result.stderr
