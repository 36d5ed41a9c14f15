"""Chips: what esptool prints of each, and which of them an id means."""

import importlib

import pytest
from fanal.chips import CHIPS, by_image_id, by_title
from fanal.error import DeviceError

from tests.unit.fake_board import profile


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("ESP32", "esp32"),
        ("ESP32-D0WDQ6 (revision v1.0)", "esp32"),
        ("ESP32-D0WD-V3 (revision v3.1)", "esp32"),
        ("ESP32-D0WDR2-V3", "esp32"),
        ("ESP32-D2WD", "esp32"),
        ("ESP32-S0WD", "esp32"),
        ("ESP32-S0WDQ6", "esp32"),
        ("ESP32-U4WDH", "esp32"),
        ("ESP32-PICO-D4", "esp32"),
        ("ESP32-PICO-V3-02", "esp32"),
        ("Unknown ESP32 (revision v3.0)", "esp32"),
        ("ESP32-S2", "esp32s2"),
        ("ESP32-S2FNR2", "esp32s2"),
        ("ESP32-C3", "esp32c3"),
        ("ESP32-C3 (QFN32) (revision v0.4)", "esp32c3"),
        ("ESP32-C3 AZ (QFN32)", "esp32c3"),
        ("ESP8685 (QFN28)", "esp32c3"),
        ("ESP8686 (QFN24)", "esp32c3"),
        ("Unknown ESP32-C3", "esp32c3"),
        ("ESP32-C3 in Secure Download Mode", "esp32c3"),
        ("esp32-c3\n", "esp32c3"),
        ("ESP32-S3 (QFN56)", "esp32s3"),
        ("ESP32-S3-PICO-1 (LGA56)", "esp32s3"),
        ("ESP32-C6 (QFN40)", "esp32c6"),
        ("ESP32-C6FH4 (QFN32)", "esp32c6"),
        ("ESP32-H2FH4S", "esp32h2"),
    ],
)
def test_what_esptool_prints(title, name):
    assert by_title(title).name == name


@pytest.mark.parametrize(
    "title",
    ["", " ", "ESP32-C61HF4", "ESP32-C2", "ESP8684H", "ESP32-C5HF4", "ESP32-S31", "ESP32-H21HF4",
     "ESP32-H4", "ESP32-P4", "ESP32-E22", "ESP8266EX", "ESP320", "ESP32-", "XESP32", "RP2040"],
)  # fmt: skip
def test_no_other_chip_passes_for_one_of_ours(title):
    with pytest.raises(DeviceError) as caught:
        by_title(title)
    assert (caught.value.code, caught.value.exit_code) == ("chip", 3)


def test_an_id_means_one_chip_or_none():
    for chip in CHIPS.values():
        assert by_image_id(chip.image_id) is chip
    assert by_image_id(12) is None
    assert by_image_id(0xFFFF) is None


def test_ids_and_places_are_those_of_esptool():
    pytest.importorskip("esptool")
    for chip in CHIPS.values():
        rom = getattr(
            importlib.import_module(f"esptool.targets.{chip.name}"), f"{chip.name.upper()}ROM"
        )
        assert (chip.title, chip.image_id, chip.image_offset) == (
            rom.CHIP_NAME, rom.IMAGE_CHIP_ID, rom.BOOTLOADER_FLASH_OFFSET,
        )  # fmt: skip


def test_supported_is_what_the_firmware_has_pins_for():
    for chip in CHIPS.values():
        assert chip.supported == (chip.name in profile.PROFILES)
