"""The virtual NOR flash: bits only clear, sectors only erase, and power fails where it is told."""

import itertools

import pytest
from fanal.sim import flash_content
from fanal.sim.flash import PARTITIONS, SECTOR, SIZE, Cut, Flash, PowerCut
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def chip(tmp_path):
    chip = Flash(tmp_path / "flash.bin")
    yield chip
    chip.close()


def test_a_new_flash_is_erased(chip):
    assert chip.path.read_bytes() == b"\xff" * SIZE


def test_partitions_touch_nothing_twice_and_end_with_the_chip():
    ordered = sorted(PARTITIONS, key=lambda p: p.address)
    for before, after in itertools.pairwise(ordered):
        assert before.address + before.size <= after.address
    assert ordered[-1].address + ordered[-1].size == SIZE
    vault = next(p for p in PARTITIONS if p.label == "vault")
    assert (vault.type, vault.subtype, vault.address, vault.size) == (1, 0x40, 0x200000, 16384)
    assert all(p.address % SECTOR == p.size % SECTOR == 0 for p in PARTITIONS)


@given(data=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5))
def test_a_program_only_clears_bits(tmp_path_factory, data):
    chip = Flash(tmp_path_factory.mktemp("nor") / "flash.bin")
    chip.erase(0x200000, SECTOR)
    expected = bytearray(b"\xff" * 40)
    for part in data:
        chip.program(0x200000, part)
        for i, byte in enumerate(part):
            expected[i] &= byte
    assert chip.read(0x200000, 40) == bytes(expected)
    chip.close()


def test_an_erase_sets_its_sector_and_no_other(chip):
    chip.program(0x200000, bytes(3 * SECTOR))
    chip.erase(0x201000, SECTOR)
    assert chip.read(0x200000, 3 * SECTOR) == bytes(SECTOR) + b"\xff" * SECTOR + bytes(SECTOR)


@pytest.mark.parametrize(("address", "size"), [(1, SECTOR), (0, 100), (SIZE, SECTOR)])
def test_what_no_chip_can_erase(chip, address, size):
    with pytest.raises(ValueError, match="sectors"):
        chip.erase(address, size)


def test_writing_beyond_the_end(chip):
    with pytest.raises(ValueError, match="outside"):
        chip.program(SIZE - 1, b"ab")


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        (Cut(0), b"\xff\xff\xff\xff"),
        (Cut(0, "inside", 2), b"ab\xff\xff"),
        (Cut(0, "after"), b"abcd"),
    ],
)
def test_power_fails_before_inside_and_after_an_operation(chip, cut, expected):
    chip.arm(cut)
    with pytest.raises(PowerCut):
        chip.program(0, b"abcd")
    assert chip.read(0, 4) == expected
    chip.program(0x1000, b"ef")  # it happens once
    assert chip.operations == 2


def test_an_erase_can_fail_half_way(chip):
    chip.program(0, bytes(SECTOR))
    chip.arm(Cut(0, "inside", 100))
    with pytest.raises(PowerCut):
        chip.erase(0, SECTOR)
    assert chip.read(0, SECTOR) == b"\xff" * 100 + bytes(SECTOR - 100)


def test_files_are_installed_anew_when_they_change(tmp_path):
    (tmp_path / "main.py").write_text("print('one')")
    first = flash_content.with_firmware("esp32c3", tmp_path)
    assert flash_content.with_firmware("esp32c3", tmp_path) is first
    (tmp_path / "main.py").write_text("print('two')")
    second = flash_content.with_firmware("esp32c3", tmp_path)
    assert (b"print('two')" in second, b"print('two')" in first) == (True, False)


def test_a_bad_sector_keeps_what_it_holds(tmp_path):
    chip = Flash(tmp_path / "flash.bin", {0x1000})
    chip.program(0xFFE, bytes(0x1004))
    assert chip.read(0xFFD, 5) == b"\xff\0\0\xff\xff"
    assert chip.read(0x1FFF, 4) == b"\xff\0\0\xff"
    chip.erase(0, 2 * SECTOR)
    assert chip.read(0, 3 * SECTOR) == b"\xff" * 2 * SECTOR + b"\0\0" + b"\xff" * (SECTOR - 2)
    chip.close()


def test_operations_are_counted_from_the_arming(chip):
    chip.program(0, b"a")
    chip.arm(Cut(2))
    chip.program(1, b"b")
    chip.erase(0x2000, SECTOR)
    with pytest.raises(PowerCut):
        chip.program(2, b"c")
    assert chip.read(0, 3) == b"ab\xff"
    chip.arm(Cut(0))
    chip.arm(None)
    chip.program(2, b"c")
