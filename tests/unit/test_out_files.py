"""What a command writes because it was told to: never over a file of a fleet, a hub, a listener."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from fanal import age_folder, keyring, own_folder, station
from fanal.batch import BATCHES
from fanal.cli import main
from fanal.cli.out_file import OutFile
from fanal.error import UsageError
from fanal.gateway import listener_key, outbox
from fanal.hub import config, serve
from fanal.hub import keys as hub_keys
from fanal.own_folder import MARKS, NAMES, require_other
from fanal.registry import REGISTRY_FILE

from tests.unit.paper_fleet import PaperFleet

# options and arguments of files that are read
READ = {
    "--passphrase-file", "--identity", "--words-file", "--backup-passphrase-file",
    "--new-passphrase-file", "--hub-passphrase-file", "--password-file", "--checkpoint", "--ca",
    "--root", "--list", "--image", "--bundle",
    "fleet restore file", "station join file", "image add files", "volunteer show file",
    "hub accept file", "registry import file", "registry merge file", "sim replay file",
}  # fmt: skip
# a folder, which has to be new
FOLDERS = {"demo --keep"}
# every command that writes a file of its own
ALONE = [
    ("log", "checkpoint", "--out"), ("log", "prove", "0", "--out"), ("log", "timestamp", "--out"),
    ("registry", "export", "--out"), ("support", "--out"), ("label", "--all", "--out"),
    ("hub", "log", "prove", "0", "--out"), ("incident", "export", "1", "--out"),
    ("power", "--plot"), ("verify", "--junit"),
    ("volunteer", "bundle", "--area", "north", "--relay", "https://hub.example", "--out"),
    ("hub", "enrol", "--to", "fanal-hub:x", "--out"),
    ("station", "create", "--to", "x", "--number", "1", "--out"),
    ("fleet", "backup", "--out"),
]  # fmt: skip


def options() -> Iterator[tuple[str, click.Parameter]]:
    """Give every path that any command takes, with its name as a person writes it."""
    found: list[tuple[str, click.Command]] = [("", main)]
    while found:
        name, command = found.pop()
        for parameter in command.params:
            if isinstance(parameter.type, click.Path | click.File):
                yield f"{name} {parameter.opts[0]}".strip(), parameter
        if isinstance(command, click.Group):
            ctx = click.Context(command)
            found += [(f"{name} {sub}".strip(), command.get_command(ctx, sub))
                      for sub in command.list_commands(ctx)]  # fmt: skip


def test_every_file_that_a_command_takes_is_read_or_looked_at_first():
    """A new option has to be one of them: `OutFile` if it is written, else named above."""
    seen = set()
    for name, parameter in options():
        kind = parameter.type
        if isinstance(kind, OutFile) or getattr(kind, "file_okay", True) is False:
            continue
        known = {name, name.split()[-1]} & (READ | FOLDERS)
        assert known, f"{name}: is it written? Then its type is OutFile"
        seen |= known
    assert seen == READ | FOLDERS
    written = {name.split()[-1] for name, one in options() if isinstance(one.type, OutFile)}
    assert written == {"--out", "--junit", "--plot", "file"}


def test_every_file_of_ours_has_a_name_that_is_known():
    assert {
        age_folder.KEY_FILE, REGISTRY_FILE, config.CONFIG_FILE, config.DATABASE_FILE,
        listener_key.KEY_FILE,
    } == set(MARKS)  # fmt: skip
    assert {
        keyring.KEY_FILE, keyring.OFFICER_FILE, keyring.STATION_FILE, keyring.OFFICERS_FILE,
        station.REQUEST_FILE, station.PENDING_FILE, hub_keys.SECRETS_FILE, hub_keys.REQUEST_FILE,
        serve.INDEX_FILE, outbox.OUTBOX_FILE, outbox.SPARE_FILE, f"{REGISTRY_FILE}-wal",
    } <= NAMES  # fmt: skip
    assert own_folder._BATCHES == BATCHES


@pytest.fixture
def place(tmp_path):
    """A fleet's folder: the names of its files, and a registry."""
    made = tmp_path / "fleet"
    made.mkdir()
    fleet = PaperFleet(tmp_path)
    fleet.registry.close()
    shutil.move(fleet.path, made / REGISTRY_FILE)
    for name in (keyring.KEY_FILE, keyring.STATION_FILE):
        (made / name).write_bytes(b"kept")
    return made


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("words", ALONE, ids=" ".join)
def test_no_command_replaces_a_key(place, tmp_path, words):
    before = everything(place)
    for name in (keyring.STATION_FILE, REGISTRY_FILE):
        result = CliRunner(env={"FANAL_PASSPHRASE": "x" * 20}).invoke(
            main, ["--fleet", str(place), *words, str(place / name), "--json"]
        )
        assert result.exit_code == 2, result.output
        assert json.loads(result.stdout)["error"] == "fleet_file"
    assert everything(place) == before


@pytest.mark.parametrize("mark", MARKS)
def test_a_folder_is_known_by_any_of_its_files(tmp_path, mark, monkeypatch):
    (tmp_path / mark).touch()
    (tmp_path / "labels.pdf").touch()
    rows = tmp_path / BATCHES / "one" / "batch.json"
    rows.parent.mkdir(parents=True)
    rows.touch()
    for name in (mark, "labels.pdf", "station.age", "STATION.AGE", "registry.db-wal", rows):
        with pytest.raises(UsageError):
            require_other(tmp_path / name)
    for name in ("new.pdf", "sub/station.age", "station.age.pem"):
        require_other(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for way in (Path(mark), Path("sub") / ".." / mark, Path(".") / mark):
        (tmp_path / "sub").mkdir(exist_ok=True)
        with pytest.raises(UsageError):
            require_other(way)


def test_a_link_is_looked_at_on_both_ends(tmp_path, place):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "link").symlink_to(place / keyring.STATION_FILE)
    (place / "out.pdf").symlink_to(elsewhere / "out.pdf")
    (elsewhere / "out.pdf").touch()
    (elsewhere / "fleet").symlink_to(place)
    for path in (elsewhere / "link", place / "out.pdf", elsewhere / "fleet" / REGISTRY_FILE):
        with pytest.raises(UsageError):
            require_other(path)
    require_other(elsewhere / "out.pdf")
    require_other(place)  # a folder, for what makes a new name in it
