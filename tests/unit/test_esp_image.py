"""Images: whatever was damaged, cut or mixed is refused with its reason, and the vault goes in."""

import hashlib
import random
import subprocess
import sys

import pytest
from fanal import partition_table
from fanal.app_info import APP_INFO_BYTES, AppInfo, micropython_version, read_app_info
from fanal.chips import CHIPS
from fanal.esp_image import ImageError, check_image, image_bytes, layout, read, with_vault
from fanal.partition_table import VAULT, Partition, has_vault

from tests.unit import paper_image
from tests.unit.paper_image import app, combined, descriptor, esp, table

MB = 1 << 20
BY_ID = {chip.image_id: chip for chip in CHIPS.values()}
TABLE_AT = 0x8000
APP_AT = 0x10000


def refused(content, *codes, of=read):
    with pytest.raises(ImageError) as caught:
        of(content)
    assert caught.value.code in codes, (caught.value.code, codes)
    assert caught.value.exit_code == 4
    assert caught.value.sentence
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("chip", CHIPS.values(), ids=str)
def test_an_image_says_what_it_is(chip):
    content = combined(chip.image_id)
    image = read(content)
    assert (image.chip, image.flash_offset) == (chip, chip.image_offset)
    assert image.version == "1.28.0"
    assert image.app == AppInfo(
        "v1.28.0", "micropython", "Apr  6 2026 10:11:12", "v5.5.1", "5a" * 32
    )
    assert image.partitions == tuple(Partition(*entry) for entry in paper_image.STOCK)
    assert image.sha256 == hashlib.sha256(content).hexdigest()
    assert image.flash_bytes == 4 * MB
    assert image.content is content
    assert len(repr(image)) < 1000


@pytest.mark.parametrize("has_digest", [True, False])
@pytest.mark.parametrize("length", range(0, 68, 4))
def test_the_length_of_an_image_is_a_multiple_of_sixteen(length, has_digest):
    image = esp([(0x3F400020, bytes(length))], has_digest=has_digest)
    assert image_bytes(image + b"\xff" * 100) == len(image)
    assert image_bytes(b"\xff" * 7 + image, 7) == len(image)
    assert len(image) % 16 == 0


def test_a_header_tells_what_is_in_it():
    image = esp([(0x3F400020, b"abcd"), (0x40080000, b"efgh")], chip_id=9, flash_mb=8)
    header = check_image(b"\xff" * 16 + image, 16)
    assert (header.chip_id, header.segments, header.entry) == (9, 2, 0x40080400)
    assert (header.flash_bytes, header.length) == (8 * MB, len(image))


def test_every_truncation_of_one_image_is_refused():
    whole = app()
    for length in range(len(whole)):
        refused(whole[:length], "truncated", of=check_image)
        refused(whole[:length], "truncated", of=image_bytes)


def test_every_flipped_bit_of_one_image_is_refused():
    whole = app(body=bytes(range(64)))
    codes = ("not_image", "truncated", "checksum", "digest")
    for at in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << bit
            refused(bytes(damaged), *codes, of=check_image)


def test_a_checksum_is_looked_at_where_the_digest_is_right():
    image = bytearray(esp([(0x3F400020, b"abcd")]))
    image[-33] ^= 1
    image[-32:] = hashlib.sha256(image[:-32]).digest()
    refused(bytes(image), "checksum", of=check_image)


def test_an_image_without_a_digest_is_not_taken():
    refused(esp([(0x3F400020, b"abcd")], has_digest=False), "digest", of=check_image)


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, 0xE8), (1, 0), (1, 17), (1, 255), (23, 2), (23, 255), (24 + 4, 3), (24 + 7, 0xFF)],
)
def test_a_header_that_no_chip_would_take(at, value):
    image = bytearray(app())
    image[at] = value
    refused(bytes(image), "not_image", "truncated", of=check_image)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xe9", b"UF2\n" + bytes(1000), b"<html>" + bytes(70000), b"\xff" * 70000, bytes(70000)],
)
def test_what_is_no_image_at_all(content):
    refused(content, "not_image", "truncated")


def test_every_truncation_of_a_combined_image_is_refused():
    whole = combined(0)
    parts = {0: 400, TABLE_AT - 0x1000: 0xC00, APP_AT - 0x1000: len(whole)}
    near = {at + i for at, size in parts.items() for i in range(min(size, 700))}
    for length in sorted(near | set(range(0, len(whole), 997))):
        if length < len(whole):
            refused(whole[:length], "truncated", "table")


def test_every_flipped_byte_of_the_parts_is_refused():
    whole = combined(5, body=bytes(64))
    boot = image_bytes(whole)
    codes = ("not_image", "truncated", "checksum", "digest", "table")
    places = [*range(boot), *range(TABLE_AT, TABLE_AT + 0xC00), *range(APP_AT, len(whole))]
    for at in places:
        damaged = bytearray(whole)
        damaged[at] ^= random.Random(at).randrange(1, 256)
        refused(bytes(damaged), *codes)


def test_what_lies_between_the_parts_is_in_the_digest_of_the_whole():
    whole = bytearray(combined(5))
    whole[0x9000] = 0
    assert read(bytes(whole)).sha256 != read(combined(5)).sha256


@pytest.mark.parametrize("chip_id", [1, 3, 4, 12, 17, 0xFFFF])
def test_an_unknown_chip(chip_id):
    error = refused(combined(chip_id), "chip")
    assert str(chip_id) in error.sentence


def test_a_bootloader_and_an_app_of_two_chips():
    error = refused(combined(5, app_image=app(chip_id=9)), "chip")
    assert "ESP32-C3" in error.sentence


def test_an_image_for_one_chip_that_calls_itself_another():
    """The place of the table follows from the chip: an ESP32's image is none for a C3."""
    content = combined(0)
    boot = esp([(0x3FFF0000, bytes(200))], chip_id=5)
    refused(boot + content[len(boot) :], "table")


def test_an_app_alone_is_not_a_combined_image():
    refused(app(), "table")
    refused(app(body=bytes(0x20000)), "table")


def test_a_bootloader_that_reaches_into_the_table():
    refused(esp([(0x3FCD5820, bytes(0x8000))]) + bytes(0x10000), "table")


@pytest.mark.parametrize(
    "partitions",
    [
        paper_image.STOCK[:2],  # no app
        (*paper_image.STOCK[:2], ("factory", 0, 0, 0x10000, 0x1000)),  # shorter than the app
        (*paper_image.STOCK[:2], ("factory", 0, 0, 0x20000, 0x1F0000)),  # nothing there
    ],
)
def test_a_table_that_does_not_fit_the_app(partitions):
    body = random.Random(1).randbytes(0x1800)
    refused(combined(5, partitions=partitions, body=body), "table", "truncated", "not_image")


def test_entries_may_be_in_any_order():
    parts = (("factory", 0, 0, 0x10000, 0x1000), ("nvs", 1, 2, 0x9000, 0x1000))
    assert read(combined(0, partitions=parts)).version == "1.28.0"


# -- what the app says of itself


def test_a_descriptor_is_needed():
    without = esp([(0x3C000020, bytes(256))])
    refused(combined(5, app_image=without), "descriptor")
    refused(combined(5, app_image=esp([(0x3C000020, b"2T\xcd\xab")])), "descriptor")


def test_every_truncation_of_a_descriptor_is_refused():
    whole = app()[:APP_INFO_BYTES]
    assert read_app_info(whole).version == "v1.28.0"
    for length in range(len(whole)):
        refused(whole[:length], "descriptor", of=read_app_info)


def test_a_descriptor_that_is_not_text():
    raw = bytearray(descriptor())
    raw[16] = 0xC3
    refused(combined(5, app_image=esp([(0x3C000020, bytes(raw))])), "descriptor")


@pytest.mark.parametrize(
    ("in_descriptor", "in_banner", "version"),
    [
        ("v1.28.0", None, "1.28.0"),
        ("1.28.0", None, "1.28.0"),
        ("v1.28", None, "1.28"),
        ("v1.29.0-preview.34.gabc1234", None, "1.29.0-preview.34.gabc1234"),
        ("v1.28.0-dirty", None, "1.28.0-dirty"),
        ("", "v1.28.0", "1.28.0"),  # as the official images are
        ("v0.3.1", "v1.28.0", "1.28.0"),
        ("", "v1.27.0-preview.2.g12+dirty", "1.27.0-preview.2.g12+dirty"),
    ],
)
def test_the_version_of_micropython(in_descriptor, in_banner, version):
    image = read(combined(5, version=in_descriptor, banner=in_banner))
    assert image.version == version
    assert image.app.version == in_descriptor


@pytest.mark.parametrize("version", ["", "1", "main", "v1.x", "v1.28.0 ", "v1.28.0/../..", "-"])
def test_an_app_that_does_not_say_its_version(version):
    refused(combined(5, version=version), "descriptor")


@pytest.mark.parametrize(
    "text",
    [b"MicroPython v1.2", b"MicroPython v../../x on 2026-04-06", b"MicroPython on 2026-04-06"],
)
def test_no_banner(text):
    info = read_app_info(app(version=""))
    with pytest.raises(ImageError):
        micropython_version(info, text)


# -- the vault


@pytest.mark.parametrize("chip_id", [0, 5, 9])
def test_only_the_table_differs(chip_id):
    image = read(combined(chip_id))
    content = with_vault(image)
    at = TABLE_AT - image.flash_offset
    assert content[:at] == image.content[:at]
    assert content[at + 0xC00 :] == image.content[at + 0xC00 :]
    assert len(content) == len(image.content)
    after = read(content)
    assert has_vault(after.partitions)
    assert after.partitions == partition_table.with_vault(image.partitions)
    assert (after.version, after.app, after.chip) == (image.version, image.app, image.chip)
    assert with_vault(after) == content


@pytest.mark.parametrize("assumed", [4, 8])
@pytest.mark.parametrize("megabytes", [4, 8, 16, 32])
def test_a_flash_of_another_size(assumed, megabytes):
    image = read(combined(9, flash_mb=assumed))
    content = with_vault(image, megabytes * MB)
    after = read(content)  # the digest of the bootloader is right again
    assert after.flash_bytes == megabytes * MB
    assert after.partitions[-1].end == megabytes * MB
    changed = {i for i in range(len(content)) if content[i] != image.content[i]}
    end = image_bytes(content)
    allowed = {3, *range(end - 32, end), *range(TABLE_AT, TABLE_AT + 0xC00)}
    assert changed <= allowed
    assert (3 in changed) == (assumed != megabytes)
    assert content[3] & 0x0F == image.content[3] & 0x0F
    assert with_vault(after, megabytes * MB) == content
    assert with_vault(read(with_vault(after, assumed * MB)), megabytes * MB) == content


@pytest.mark.parametrize("flash_bytes", [2 * MB, MB, 0, -1, 6 * MB, 4 * MB + 1, 256 * MB])
def test_a_flash_that_it_cannot_be_made_for(flash_bytes):
    image = read(combined(5))
    with pytest.raises(ImageError) as caught:
        with_vault(image, flash_bytes)
    assert caught.value.code == "table"


def test_a_partition_that_reaches_into_the_vault_is_cut_if_its_app_does_not():
    wide = (*paper_image.STOCK[:2], ("factory", 0, 0, APP_AT, 0x300000))
    image = read(combined(5, partitions=wide))
    after = read(with_vault(image))
    factory = next(p for p in after.partitions if p.label == "factory")
    assert factory.end == VAULT.address
    assert after.partitions == layout(image) == layout(after)
    assert with_vault(after) == with_vault(image)


def test_an_app_that_reaches_into_the_vault():
    """By a second app's partition, by its bytes, or by what was glued to the end of the file."""
    second = (*paper_image.STOCK, ("ota_1", 0, 0x11, 0x200000, 0x100000))
    refused(read(combined(5, partitions=second)), "table", of=with_vault)
    big = (*paper_image.STOCK[:2], ("factory", 0, 0, APP_AT, 0x200000))
    long = app(body=bytes(0x1F0000))
    refused(read(combined(5, partitions=big, app_image=long)), "table", of=with_vault)
    for chip_id in (0, 5):
        content = combined(chip_id)
        room = VAULT.address - BY_ID[chip_id].image_offset
        with_vault(read(content.ljust(room, b"\xff")))
        refused(read(content.ljust(room + 1, b"\xff")), "table", of=with_vault)


def test_esptool_finds_every_part_right(tmp_path):
    pytest.importorskip("esptool")
    image = read(combined(9, flash_mb=4))
    content = with_vault(image, 8 * MB)
    for part, at in {"boot": 0, "app": APP_AT}.items():
        (tmp_path / part).write_bytes(content[at : at + image_bytes(content, at)])
        command = [sys.executable, "-m", "esptool", "image-info", str(tmp_path / part)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "Checksum: 0x" in said
        assert said.count("(valid)") == 2
        assert "ESP32-S3" in said or "9 (ESP32-S3)" in said
        if part == "boot":
            assert "8MB" in said
        else:
            assert "v1.28.0" in said


def test_the_table_of_paper_is_that_of_the_module():
    assert table() == partition_table.build([Partition(*entry) for entry in paper_image.STOCK])
