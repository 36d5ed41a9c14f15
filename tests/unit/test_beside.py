"""What is made beside its place: what the killed left goes, what somebody still makes stays."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fanal import beside, private_file
from fanal.private_file import write_new, write_private

pytestmark = pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")

# one that works at PLACE in a way HOW until it is killed
_MAKER = """
import sys
from pathlib import Path
from fanal import beside
how, place = sys.argv[1], Path(sys.argv[2])
def ready():
    print("ready", flush=True)
    sys.stdin.read()
if how == "file":
    made = beside.new_file(place)
    ready()
else:
    with beside.new_folder(place) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "content").write_text("half")
        ready()
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("how", ["file", "folder"])
@pytest.mark.parametrize("next_one", ["file", "folder", "clear"])
def test_what_is_still_made_stays_and_what_was_left_goes(tmp_path, how, next_one):
    place = tmp_path / "a+b.age"

    def make():
        if next_one == "file":
            write_private(place, b"whole")
            place.unlink()
        elif next_one == "folder":
            with beside.new_folder(place):
                pass
        else:
            beside.clear(place)

    with subprocess.Popen([sys.executable, "-c", _MAKER, how, place], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as maker:  # fmt: skip
        assert maker.stdout.readline() == b"ready\n"
        (left,) = names(tmp_path)
        make()
        assert names(tmp_path) == [left]
        maker.send_signal(signal.SIGKILL)
        maker.wait()
        assert names(tmp_path) == [left]
        make()
        assert names(tmp_path) == []


def test_nothing_else_is_touched(tmp_path):
    place = tmp_path / "key.age"
    others = ("key.age.0123abcd", ".key.age.0123ABCD", ".key.age.0123abc", ".key.age.0123abcd.x",
              ".keyxage.0123abcd", ".key.age.", ".other.age.0123abcd")  # fmt: skip
    for name in others:
        (tmp_path / name).write_text("mine")
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "kept").write_text("mine")
    (tmp_path / ".key.age.00000000").symlink_to(tmp_path / "far")
    os.mkfifo(tmp_path / ".key.age.00000001")
    before = names(tmp_path)
    write_private(place, b"new")
    assert names(tmp_path) == sorted([*before, "key.age"])
    assert (tmp_path / "far" / "kept").exists()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_one_that_is_taken_for_left_over_before_its_lock_is_made_again(tmp_path, monkeypatch, kind):
    place, taken = tmp_path / "key", []
    real = beside._locked

    def late(handle, *, wait=True):
        if wait and not taken:  # another one came between
            taken.extend(tmp_path.iterdir())
            beside.clear(place)
            assert not list(tmp_path.iterdir())
        return real(handle, wait=wait)

    monkeypatch.setattr(beside, "_locked", late)
    if kind == "file":
        write_private(place, b"whole")
        assert place.read_bytes() == b"whole"
    else:
        with beside.new_folder(place) as folder:
            (folder / "content").write_text("whole")
            folder.rename(place)
        assert names(tmp_path) == ["key"]
        assert (place / "content").exists()
    assert taken


def test_what_another_user_left_stays(tmp_path, monkeypatch):
    left = tmp_path / ".words.0123abcd"
    left.write_bytes(b"theirs")
    owner = left.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    beside.clear(tmp_path / "words")
    assert names(tmp_path) == [left.name]
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    beside.clear(tmp_path / "words")
    assert names(tmp_path) == []


def test_without_locks_nothing_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(beside, "_locked", lambda *_, **__: False)
    (tmp_path / ".key.0123abcd").write_text("may be somebody's")
    write_private(tmp_path / "key", b"whole")
    with beside.new_folder(tmp_path / "key"):
        pass
    assert names(tmp_path) == [".key.0123abcd", "key"]


@pytest.mark.parametrize("can", [True, False])
def test_a_new_file_is_new_and_private_and_has_no_other_name(tmp_path, monkeypatch, can):
    path, seen = tmp_path / "words", []
    real = os.fsync
    if not can:
        monkeypatch.setattr(private_file.sys, "platform", "somewhere")

    def fsync(handle):
        seen.append(names(tmp_path))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_new(path, b"one two three")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"one two three", 0o600)
    assert seen[0] in ([], ["words"])
    assert seen[0] == [] or not can or sys.platform != "linux"
    with pytest.raises(FileExistsError) as caught:
        write_new(path, b"other")
    assert Path(caught.value.filename) == path
    assert (names(tmp_path), path.read_bytes()) == (["words"], b"one two three")


def test_a_new_file_where_links_are_not_to_be_had(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    write_new(tmp_path / "words", b"one")
    assert (tmp_path / "words").read_bytes() == b"one"
