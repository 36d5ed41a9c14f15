"""Words come before eyes: on a terminal, and nowhere else; typed back there, they restore."""

import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
from fanal import fleet
from fanal.keyring import Keyring

from tests.unit import quick_passphrase

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def at(tmp_path, monkeypatch):
    monkeypatch.setattr(pyrage.passphrase, "encrypt", quick_passphrase.encrypt)
    monkeypatch.setattr(pyrage.passphrase, "decrypt", quick_passphrase.decrypt)
    fleet.create(tmp_path / "office", PASSPHRASE)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "quick_site"))
    monkeypatch.setenv("FANAL_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    return tmp_path


def command(at, folder, *words):
    return [sys.executable, "-m", "fanal", "--fleet", str(at / folder), *map(str, words)]


class Terminal:
    """A command at a pseudo-terminal, and what it shows."""

    def __init__(self, words):
        self.end, own = pty.openpty()
        self.child = subprocess.Popen(words, stdin=own, stdout=own, stderr=own,
                                      start_new_session=True)  # fmt: skip
        os.close(own)
        self.shown, self.read = "", 0

    def until(self, text):
        while (found := self.shown.find(text, self.read)) < 0:
            assert select.select([self.end], [], [], 60)[0], self.shown
            self.shown += os.read(self.end, 65536).decode()
        self.read = found + len(text)

    def type(self, text):
        os.write(self.end, f"{text}\n".encode())

    def finish(self):
        while True:
            try:
                data = os.read(self.end, 65536)
            except OSError:  # it closed the other end
                break
            if not data:
                break
            self.shown += data.decode()
        os.close(self.end)
        return self.child.wait()


def test_words_are_shown_once_and_typed_back(at):
    out = at / "b"
    first = Terminal(command(at, "office", "fleet", "backup", "--out", out, "--shares", "2/3"))
    first.until("on paper?")
    assert not out.exists(), "it is no backup before somebody has the words"
    first.type("y")
    assert first.finish() == 0, first.shown
    assert "not hardened" in " ".join(first.shown.split())
    parts = re.split(r"Share \d of 3, any 2 of which open b:", first.shown)[1:]
    shares = [" ".join(re.findall(r"\d+ ([a-z]+)\b", part)[:33]) for part in parts]
    assert [len(share.split()) for share in shares] == [33, 33, 33]

    second = Terminal(command(at, "new", "fleet", "restore", out, "--shares"))
    second.until("share 1 of 2:")
    wrong = shares[2].split()
    wrong[4] = "zzz"
    second.type(" ".join(wrong))
    second.until("word 5 of 33 cannot be right")
    second.until("share 1 of 2:")
    second.type(shares[2])
    second.until("share 2 of 2:")
    second.type(shares[2])
    second.until("That share is here already")
    second.until("share 2 of 2:")
    second.type(shares[0])
    assert second.finish() == 0, second.shown
    said = " ".join(second.shown.split())
    assert "For each: `fanal hub enrol --to LINE --out FILE` here" in said
    assert "`fanal hub accept FILE` there" in said
    assert Keyring.unlock(at / "new", PASSPHRASE).officer() == Keyring.unlock(
        at / "office", PASSPHRASE).officer()  # fmt: skip


def test_who_has_no_paper_gets_no_backup(at):
    terminal = Terminal(command(at, "office", "fleet", "backup", "--out", at / "b", "--shares",
                                "2/3"))  # fmt: skip
    terminal.until("on paper?")
    terminal.type("n")
    assert terminal.finish() == 130
    assert sorted(path.name for path in at.iterdir()) == ["office"]


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_no_terminal_no_words(at, more):
    done = subprocess.run(
        command(at, "office", "fleet", "backup", "--out", at / "b", "--shares", "2/3", *more),
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "shown on a terminal" in done.stderr
    assert sorted(path.name for path in at.iterdir()) == ["office"]
