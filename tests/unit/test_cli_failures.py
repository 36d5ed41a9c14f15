"""Failures that a person meets: the sentence says what to do, the code says what kind it was."""

import io
import json
import os

import pytest
from click.testing import CliRunner
from fanal import database, sealed_work, serial_port
from fanal.cli import console, main
from fanal.error import DeviceError, FanalError, UsageError
from fanal.keyring import Keyring
from fanal.provision import Request
from fanal.registry import REGISTRY_FILE

from tests.unit.paper_fleet import PaperFleet


def run(*args, **kwargs):
    return CliRunner().invoke(main, [str(arg) for arg in args], **kwargs)


@pytest.mark.parametrize(
    "args",
    [
        ("provision", "--json"),
        ("decode", "--json"),
        ("listen", "--json", "--seconds", "no"),
        ("drill", "--minutes", "61", "--json"),
        ("sim", "status", "--json", "--nope"),
    ],
)
def test_wrong_usage_with_json_is_one_object(args):
    result = run(*args)
    answer = json.loads(result.stdout)
    assert (answer["ok"], answer["error"], answer["exit_code"]) == (False, "usage", 2)
    assert result.exit_code == 2
    assert answer["sentence"] in result.stderr.replace("Error: ", "")


def test_a_full_disk_is_the_environment(monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fanal.sealed_work.run", sealed_work.here)
    monkeypatch.setattr("fanal.fleet.create", full)
    result = run(
        "--fleet", tmp_path / "fleet", "fleet", "init", env={"FANAL_PASSPHRASE": "long enough"}
    )
    assert result.exit_code == 7
    assert "No space left on device" in result.stderr
    assert "nobody foresaw" not in result.stderr


def test_a_registry_on_a_full_disk_says_so(tmp_path):
    class Full(Exception):
        sqlite_errorname = "SQLITE_FULL"

    problem = database._sentence(tmp_path, Full())
    assert problem.exit_code == 7
    assert "full" in problem.sentence
    assert problem.hint


def test_half_a_fleet_is_a_loss_and_no_reason_to_create_another(tmp_path):
    (tmp_path / "key.age").write_bytes(b"")
    result = run("--fleet", tmp_path, "list")
    assert result.exit_code == 4
    assert f"{REGISTRY_FILE} is missing" in result.stderr
    assert "fleet init" not in result.stderr
    (tmp_path / "key.age").rename(tmp_path / REGISTRY_FILE)
    with pytest.raises(FanalError) as caught:
        Keyring.unlock(tmp_path, "whatever it was")
    assert caught.value.code == "missing"


def test_a_fleet_of_somebody_else_is_no_wrong_usage(monkeypatch, tmp_path):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr("pathlib.Path.exists", refuse)
    result = run("--fleet", tmp_path, "list")
    assert result.exit_code == 7
    assert f"{tmp_path / REGISTRY_FILE}: Permission denied." in result.stderr


@pytest.mark.parametrize("site", ["", " ", "two words", "a\nb", "a\x1b[31m"])
def test_a_site_is_one_word(site):
    with pytest.raises(UsageError):
        Request(site)


@pytest.mark.parametrize("place", ["two\nlines", "\x1b[31mred"])
def test_a_place_is_one_line(place):
    with pytest.raises(UsageError):
        Request("depot", place)
    assert Request("depot", "Büro 3, links unten").place


def test_the_address_of_an_air_that_is_none_is_wrong_usage(tmp_path):
    pytest.importorskip("bumble", reason="needs the extra `sim`")
    PaperFleet(tmp_path).registry.close()
    result = run("--fleet", tmp_path, "listen", "--air", "nonsense")
    assert result.exit_code == 2
    assert "HOST:PORT" in result.stderr


def test_nobody_is_told_to_join_root(monkeypatch, tmp_path):
    port = tmp_path / "port"
    port.touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr("pathlib.Path.group", lambda _: "root")
    assert "-aG dialout" in serial_port.why_not(str(port)).hint
    monkeypatch.setattr("pathlib.Path.group", lambda _: "uucp")
    assert "-aG uucp" in serial_port.why_not(str(port)).hint


def test_the_wrong_device_is_no_wrong_usage():
    from fanal import drill

    from tests.unit.paper_board import PaperBoard

    with pytest.raises(DeviceError) as caught:
        drill.arm(PaperBoard(), 10)
    assert caught.value.code == "not_provisioned"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_are_broken_between_words_on_a_terminal_only(monkeypatch):
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((24, 50)))
    line = "12:00:00  \x1b[31m\x1b[1mALERT\x1b[0m  AAAAAAAA  room 12"
    assert console.folded(line, 10, io.StringIO()) == line
    assert console.folded(line, 4, Terminal()).splitlines() == [
        "12:00:00  \x1b[31m\x1b[1mALERT\x1b[0m",
        "    AAAAAAAA  room 12",
    ]
    assert console.folded("a" * 30, 4, Terminal()) == "a" * 30
    assert console.folded("", 4, Terminal()) == ""
