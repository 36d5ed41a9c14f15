"""The partition table: every damage is noticed, and the vault gets its place or a reason."""

import struct

import pytest
from fanal.partition_table import (
    TABLE_BYTES,
    VAULT,
    ImageError,
    Partition,
    build,
    has_vault,
    parse,
    with_vault,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.paper_image import STOCK, STOCK_WITH_VFS, table

MB = 1 << 20
NVS, PHY, FACTORY = (Partition(*entry) for entry in STOCK)
PLAIN = (NVS, PHY, FACTORY)
DONE = (*PLAIN, VAULT, Partition("vfs", 1, 0x81, 0x204000, 4 * MB - 0x204000))


def refused(data):
    with pytest.raises(ImageError) as caught:
        parse(data)
    assert (caught.value.code, caught.value.exit_code) == ("table", 4)
    assert caught.value.hint
    return caught.value.sentence


def test_a_table_reads_as_it_was_written():
    assert parse(table()) == PLAIN
    assert parse(table(STOCK_WITH_VFS))[3] == Partition("vfs", 1, 0x81, 2 * MB, 2 * MB)
    assert parse(table() + b"whatever comes behind it") == PLAIN


def test_what_is_built_is_what_espressifs_layout_says():
    assert build(PLAIN) == table()
    assert len(build(DONE)) == TABLE_BYTES
    assert parse(build(DONE)) == DONE


def test_flags_are_kept():
    flagged = Partition("nvs", 1, 2, 0x9000, 0x6000, flags=1)
    assert parse(build([flagged, FACTORY])) == (flagged, FACTORY)


def test_every_truncation_is_refused():
    whole = table()
    for length in range(len(whole)):
        assert "short" in refused(whole[:length])


def test_every_flipped_bit_is_refused():
    whole = table()
    for at in range(len(whole)):
        for bit in range(8) if at < 160 else (0, 7):
            refused(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])


@pytest.mark.parametrize("data", [b"\xff" * 0xC00, bytes(0xC00), b"\xe9" * 0xC00, b"\xeb" * 0xC00])
def test_no_table_at_all(data):
    refused(data)


def test_a_table_full_to_the_brim_without_md5():
    entry = table()[:32]
    assert "no MD5" in refused(entry * 96)


def mended(**changes):
    """A table with a right MD5 whose third entry, the app, was changed."""
    entry = {"label": "factory", "type": 0, "subtype": 0, "address": 0x10000, "size": 0x1F0000}
    entry |= changes
    fields = tuple(entry[name] for name in ("label", "type", "subtype", "address", "size"))
    return table((*STOCK[:2], fields))


@pytest.mark.parametrize(
    "changes",
    [
        {"address": 0x8000},
        {"address": 0},
        {"address": 0x11000},  # an app lies on 64 KB
        {"type": 1, "address": 0x10010},
        {"size": 0},
        {"size": 0x1001},
        {"type": 1, "address": 0xE000},  # inside nvs
        {"label": "nvs"},
        {"label": ""},
        {"label": "a b"},
        {"label": "\x1b[31mred"},
        {"label": "a\0b"},
    ],
)
def test_what_no_bootloader_should_be_given(changes):
    refused(mended(**changes))
    assert parse(mended(type=1, address=0x10000))


def test_an_empty_table_is_none():
    assert "empty" in refused(table(()))


@pytest.mark.parametrize(
    "partition",
    [
        Partition("a label too long to be one", 1, 2, 0x9000, 0x1000),
        Partition("größe", 1, 2, 0x9000, 0x1000),
        Partition("x", 256, 2, 0x9000, 0x1000),
        Partition("x", 1, -1, 0x9000, 0x1000),
        Partition("x", 1, 2, 1 << 32, 0x1000),
        Partition("x", 1, 2, 0x9000, -0x1000),
        Partition("x", 1, 2, 0x9001, 0x1000),
    ],
)
def test_what_cannot_be_written_is_refused_before(partition):
    with pytest.raises(ImageError):
        build([partition])


def test_the_most_that_fits():
    many = [Partition(f"p{i}", 1, 2, 0x9000 + i * 0x1000, 0x1000) for i in range(96)]
    assert len(parse(build(many[:95]))) == 95
    with pytest.raises(ImageError):
        build(many)


@given(
    sizes=st.lists(st.integers(1, 0x80), min_size=1, max_size=12),
    gaps=st.lists(st.integers(0, 4), min_size=12, max_size=12),
    kinds=st.lists(st.tuples(st.integers(1, 255), st.integers(0, 255)), min_size=12, max_size=12),
)
def test_a_round_trip_of_any_table(sizes, gaps, kinds):
    at, partitions = 0x9000, []
    for i, size in enumerate(sizes):
        at += gaps[i] * 0x1000
        partitions.append(Partition(f"p{i}", *kinds[i], at, size * 0x1000))
        at += size * 0x1000
    assert list(parse(build(partitions))) == partitions


# -- the vault


@pytest.mark.parametrize("stock", [STOCK, STOCK_WITH_VFS], ids=["no vfs", "vfs"])
@pytest.mark.parametrize("megabytes", [4, 8, 16])
def test_the_vault_lies_where_the_firmware_wants_it(stock, megabytes):
    before = parse(table(stock))
    after = with_vault(before, megabytes * MB)
    assert has_vault(after)
    assert not has_vault(before)
    assert after[:3] == PLAIN
    assert after[3:] == (VAULT, Partition("vfs", 1, 0x81, 0x204000, megabytes * MB - 0x204000))
    assert with_vault(after, megabytes * MB) == after
    assert parse(build(after)) == after


def test_a_known_table():
    assert with_vault(PLAIN) == DONE


def test_a_table_made_for_one_size_fits_another():
    assert with_vault(with_vault(PLAIN, 8 * MB), 4 * MB) == DONE
    assert with_vault(DONE, 16 * MB) == with_vault(PLAIN, 16 * MB)


@pytest.mark.parametrize("flash_bytes", [0, 1, MB, 2 * MB, 0x204000, VAULT.end + 0x3F000])
def test_a_small_flash_has_no_room(flash_bytes):
    with pytest.raises(ImageError) as caught:
        with_vault(PLAIN, flash_bytes)
    assert "no room for the vault" in caught.value.sentence
    assert "4 MB" in caught.value.hint


def test_two_megabytes_are_said_as_people_do():
    with pytest.raises(ImageError) as caught:
        with_vault(PLAIN, 2 * MB)
    assert "flash of 2 MB" in caught.value.sentence


@pytest.mark.parametrize(
    "intruder",
    [
        Partition("factory", 0, 0, 0x10000, 0x1F1000),
        Partition("factory", 0, 0, 0x10000, 0x300000),
        Partition("ota_1", 0, 0x11, 0x200000, 0x1000),
        Partition("romfs", 1, 0x8F, 0x203000, 0x1000),
        Partition("data", 1, 0x40, 0x1FF000, 0x2000),
    ],
)
def test_whatever_reaches_into_the_vault_is_refused(intruder):
    others = [p for p in PLAIN if p.label != intruder.label]
    with pytest.raises(ImageError) as caught:
        with_vault([*others, intruder])
    assert intruder.label in caught.value.sentence


@pytest.mark.parametrize(
    "neighbour",
    [
        Partition("before", 1, 0x40, 0x1FF000, 0x1000),
        Partition("behind", 1, 0x40, 0x3FF000, 0x1000),
    ],
)
def test_what_only_touches_the_vault_may_stay(neighbour):
    small = Partition("factory", 0, 0, 0x10000, 0x1E0000)
    after = with_vault([NVS, PHY, small, neighbour, Partition("vfs", 1, 0x81, 0x200000, 0x1000)])
    assert neighbour in after
    vfs = next(p for p in after if p.label == "vfs")
    assert (vfs.address, vfs.end) == (0x204000, 0x3FF000 if neighbour.label == "behind" else 4 * MB)


def test_a_file_system_that_lies_further_back_stays_there():
    data = Partition("data", 1, 0x40, 0x204000, 0xFC000)
    vfs = Partition("vfs", 1, 0x82, 0x300000, 0x80000, flags=2)
    after = with_vault([*PLAIN, data, vfs])
    assert after == (*PLAIN, VAULT, data, Partition("vfs", 1, 0x82, 0x300000, 0x100000, flags=2))


def test_no_room_for_the_file_system():
    with pytest.raises(ImageError, match="file system"):
        with_vault([*PLAIN, Partition("data", 1, 0x40, 0x204000, 4 * MB - 0x204000)])
    with pytest.raises(ImageError, match="file system"):
        with_vault(
            [
                *PLAIN,
                Partition("data", 1, 0x40, 0x210000, 0x10000),
                *parse(table(STOCK_WITH_VFS))[3:],
            ]
        )


@pytest.mark.parametrize(
    "other",
    [
        Partition("vault", 1, 0x40, 0x300000, 0x4000),
        Partition("vault", 1, 0x40, 0x200000, 0x8000),
        Partition("vault", 1, 0x41, 0x200000, 0x4000),
        Partition("vault", 1, 0x40, 0x200000, 0x4000, flags=1),
    ],
)
def test_somebody_elses_vault_is_not_touched(other):
    assert not has_vault([*PLAIN, other])
    with pytest.raises(ImageError, match="another vault"):
        with_vault([*PLAIN, other])


def test_a_partition_outside_the_flash():
    with pytest.raises(ImageError, match="outside"):
        with_vault([*PLAIN, Partition("more", 1, 0x40, 5 * MB, MB)], 4 * MB)


def test_the_comparison_can_fail():
    assert struct.unpack_from("<H", table())[0] == 0x50AA
    assert build(DONE) != table()
