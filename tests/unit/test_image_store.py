"""The store of images: what gets in, what is noticed, and that nothing half is ever there."""

import hashlib
import json
import os
import stat

import pytest
from click.testing import CliRunner
from fanal import image_store
from fanal.chips import CHIPS
from fanal.cli import main
from fanal.error import EnvironmentFault, IntegrityError
from fanal.esp_image import ImageError
from fanal.image_store import MOST_BYTES, ImageStore, default_folder

from tests.unit.paper_image import STOCK, combined, esp

C3, ESP32, S3 = CHIPS["esp32c3"], CHIPS["esp32"], CHIPS["esp32s3"]


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "images")


@pytest.fixture
def put(tmp_path):
    """Return a function that puts content into a file and returns its path."""

    def put(content, name="download.bin"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return put


def names(store):
    return sorted(os.listdir(store.folder)) if store.folder.exists() else []


def test_an_image_is_kept_under_what_is_in_it(store, put):
    content = combined(5)
    stored = store.add(put(content))
    digest = hashlib.sha256(content).hexdigest()
    assert names(store) == [f"esp32c3-micropython-1.28.0-{digest[:8]}.bin"]
    assert (stored.chip, stored.version, stored.sha256) == (C3, "1.28.0", digest)
    assert (stored.size, stored.is_damaged) == (len(content), False)
    assert stored.path.read_bytes() == content
    assert store.list() == (stored,)


def test_the_same_again_changes_nothing(store, put):
    first = store.add(put(combined(5)))
    before = first.path.stat()
    again = store.add(put(combined(5), "another name.bin"))
    assert again == first
    assert first.path.stat().st_mtime_ns == before.st_mtime_ns
    assert first.path.stat().st_ino == before.st_ino
    store.add(first.path)  # out of the store into the store
    assert len(names(store)) == 1


def test_an_empty_store_and_none(store):
    assert store.list() == ()
    store.folder.mkdir()
    assert store.list() == ()


def test_the_folder_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("FANAL_IMAGES", str(tmp_path / "mine"))
    assert default_folder() == ImageStore().folder == tmp_path / "mine"
    monkeypatch.delenv("FANAL_IMAGES")
    assert default_folder().parts[-2:] == ("fanal", "images")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "truncated"),
        (b"UF2\n" + bytes(600), "not_image"),
        (combined(5)[:-1], "truncated"),
        (combined(5)[:-1] + b"\0", "digest"),
        (combined(13), "chip"),  # a C6, and no pins for it
        (combined(2), "chip"),
        (combined(5, partitions=(*STOCK, ("ota_1", 0, 0x11, 0x200000, 0x100000))), "table"),
        (combined(5).ljust(0x200001, b"\xff"), "table"),
        (combined(5, app_image=esp([(0x3C000020, bytes(256))])), "descriptor"),
        (b"\xe9" * (MOST_BYTES + 1), "not_image"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(store, put, content, code):
    with pytest.raises(ImageError) as caught:
        store.add(put(content))
    assert caught.value.code == code
    assert names(store) == []


def test_a_stock_image_for_less_flash_is_no_obstacle(store, put):
    store.add(put(combined(0, flash_mb=2)))
    store.add(put(combined(9, flash_mb=8)))
    assert [i.chip for i in store.list()] == [ESP32, S3]


def test_a_file_that_is_not_there(store, tmp_path):
    for path in (tmp_path / "none.bin", tmp_path):
        with pytest.raises(EnvironmentFault) as caught:
            store.add(path)
        assert caught.value.code == "unreadable"
        assert str(path) in caught.value.sentence


def test_an_image_for_a_chip(store, put):
    for chip_id in (0, 5, 9):
        store.add(put(combined(chip_id)))
    for chip in (ESP32, C3, S3):
        image = store.for_chip(chip)
        assert (image.chip, image.version) == (chip, "1.28.0")
        assert image.content == combined(chip.image_id)


def test_no_image_says_how_to_get_one(store, put):
    store.add(put(combined(0)))
    store.add(put(combined(5, version="v1.27.0")))
    with pytest.raises(EnvironmentFault) as caught:
        store.for_chip(C3)
    assert (caught.value.code, caught.value.exit_code) == ("no_image", 7)
    assert "fanal image get --chip esp32c3 --pin" in caught.value.hint
    assert "fanal image add" in caught.value.hint
    assert store.for_chip(C3, "1.27.0").version == "1.27.0"


def test_two_images_for_one_chip_are_not_chosen_from_in_silence(store, put):
    store.add(put(combined(5, seed=1)))
    store.add(put(combined(5, seed=2)))
    with pytest.raises(EnvironmentFault) as caught:
        store.for_chip(C3)
    assert caught.value.code == "several_images"
    assert all(name in caught.value.sentence for name in names(store))


@pytest.mark.parametrize("at", [0, 100, 0x8000, 0x9000, 0x10000, -1])
def test_a_damaged_file_is_noticed_at_use(store, put, at):
    path = store.add(put(combined(5))).path
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)
    assert [i.is_damaged for i in store.list()] == [True]
    with pytest.raises(IntegrityError) as caught:
        store.for_chip(C3)
    assert (caught.value.code, caught.value.exit_code) == ("damaged", 4)
    assert str(path) in caught.value.sentence


@pytest.mark.parametrize("length", [0, 1, 1000, 0x10000])
def test_a_file_that_was_cut_is_noticed_and_mended(store, put, length):
    path = store.add(put(combined(5))).path
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    with pytest.raises(IntegrityError):
        store.for_chip(C3)
    store.add(put(whole))
    assert store.for_chip(C3).content == whole


def test_a_name_that_lies_is_noticed(store, put):
    """A file under the right digits, but for another chip or version than its name says."""
    path = store.add(put(combined(0))).path
    for name in ("esp32c3-micropython-1.28.0-", "esp32-micropython-1.29.0-"):
        path.rename(liar := path.with_name(name + path.name[-12:]))
        with pytest.raises(IntegrityError) as caught:
            store.for_chip(CHIPS[name.split("-")[0]], name.split("-")[2])
        assert caught.value.code == "damaged"
        path = liar


def test_a_good_digest_over_no_image_is_noticed(store, put):
    store.add(put(combined(5))).path.unlink()
    digest = hashlib.sha256(b"hello").hexdigest()[:8]
    (store.folder / f"esp32c3-micropython-1.28.0-{digest}.bin").write_bytes(b"hello")
    with pytest.raises(IntegrityError) as caught:
        store.for_chip(C3)
    assert caught.value.code == "damaged"


def test_what_else_lies_in_the_folder_is_left_alone(store, put):
    stored = store.add(put(combined(5)))
    for name in (
        "images.lock",
        ".esp32c3-micropython-1.28.0-00000000.bin.1234",
        "esp32c3-micropython-1.28.0-0000000.bin",
        "esp32zz-micropython-1.28.0-00000000.bin",
        "firmware.bin",
    ):
        (store.folder / name).write_bytes(b"")
    (store.folder / "esp32c3-micropython-1.28.0-11111111.bin").mkdir()
    assert store.list() == (stored,)
    assert store.for_chip(C3).sha256 == stored.sha256


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_no_image(store, put, monkeypatch, call):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space"):
        store.add(put(combined(5)))
    assert names(store) == []


def test_an_interrupted_write_leaves_no_image(store, put, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.add(put(combined(5)))
    assert names(store) == []


def test_a_damaged_file_is_replaced_whole(store, put, monkeypatch):
    path = store.add(put(combined(5))).path
    path.write_bytes(b"half")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error")))
    with pytest.raises(OSError, match="I/O"):
        store.add(put(combined(5)))
    assert path.read_bytes() == b"half"
    monkeypatch.undo()
    assert store.add(put(combined(5))).path.read_bytes() == combined(5)


def test_find_by_checksum(store, put):
    stored = store.add(put(combined(5)))
    assert store.find(stored.sha256).content == combined(5)
    assert store.find("") is None
    assert store.find("0" * 64) is None
    stored.path.write_bytes(b"")
    assert store.find(stored.sha256) is None
    assert store.find(hashlib.sha256(b"").hexdigest()) is None


def test_the_names_cannot_leave_the_folder(store, put):
    with pytest.raises(ImageError):
        store.add(put(combined(5, version="v1.28.0-../../../x")))
    stored = store.add(put(combined(5, version="v1.28.0-preview.1.gabc+dirty")))
    assert stored.path.parent == store.folder
    assert store.list() == (stored,)
    assert stat.S_ISREG(stored.path.stat().st_mode)


def test_the_store_needs_no_network():
    assert not hasattr(image_store, "image_download")
    assert "urllib" not in vars(image_store)


@pytest.mark.parametrize(("file", "code"), [("/dev/zero", "not_image"), ("none.bin", "unreadable")])
def test_an_image_that_is_given_by_name_is_checked_before_a_board_is_looked_for(file, code):
    done = CliRunner().invoke(main, ["flash", "--image", file, "--port", "/none", "--json"])
    assert json.loads(done.stdout)["error"] == code
