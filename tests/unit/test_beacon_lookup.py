"""Which beacon is meant, as people and barcode readers say it, in every command that asks."""

import json

import pytest
from click.testing import CliRunner
from fanal import beacon_lookup, board_link, drill, sealed_work, serial_port
from fanal.beacon_name import shown
from fanal.cli import choice, main
from fanal.error import DeviceError, UsageError
from fanal.keyring import Keyring
from fanal.provision import Request, provision
from fanal.registry import REGISTRY_FILE, RETIRED, Registry
from fanal.verify import verify

from tests.unit.paper_board import FILES, PaperBoard
from tests.unit.paper_fleet import NOW, PaperFleet


class Bench:
    """A fleet in its folder, two provisioned boards, and the one that is on the wire."""

    def __init__(self, folder):
        self.folder = folder
        fleet = PaperFleet(folder)
        fleet.path.rename(folder / REGISTRY_FILE)
        self.station = fleet.station
        self.registry = Registry(folder / REGISTRY_FILE)
        self.boards = [PaperBoard(f"02:00:00:00:00:0{n}") for n in (1, 2)]
        self.ids = []
        for board in self.boards:
            request = Request("shelter-3", "room 12")
            done = provision(board, self.station, self.registry, request, now=lambda: NOW)
            self.ids.append(done.beacon_id)
            board.calls.clear()
        self.attached = self.boards[0]

    def run(self, *args, **kwargs):
        return CliRunner().invoke(main, ["--fleet", str(self.folder), *args], **kwargs)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    bench = Bench(tmp_path)

    class Wire:
        def __init__(self, port, **_):
            pass

        def __enter__(self):
            return bench.attached

        def __exit__(self, *_):
            return None

    class Open:
        def station(self):
            return bench.station

    monkeypatch.setattr(board_link, "BoardLink", Wire)
    monkeypatch.setattr(serial_port, "find_port", lambda port: port or "PORT")
    monkeypatch.setattr(sealed_work, "run", sealed_work.here)
    monkeypatch.setattr(Keyring, "unlock", lambda folder, passphrase: Open())
    monkeypatch.setenv("FANAL_PASSPHRASE", "of no use")
    yield bench
    fleet = bench.registry
    fleet.close()


def scans(beacon_id):
    """What comes of one label: typed, and by readers with their habits."""
    return [
        beacon_id,
        f"{beacon_id[:4]}-{beacon_id[4:]}",
        beacon_id.lower(),
        f"{beacon_id}\r\n",
        f"\t{beacon_id}\t",
        f"]Q1{beacon_id}",
        f"\x02{beacon_id}\x03",
        f"FANAL:{beacon_id}",
        f" {beacon_id[:4]} {beacon_id[4:]}\n",
    ]


def test_however_it_is_read_it_is_the_same_beacon(bench):
    for beacon_id in bench.ids:
        for text in scans(beacon_id):
            assert beacon_lookup.find(bench.registry, text).beacon_id == beacon_id


def test_a_part_of_an_id_selects_nothing(bench):
    beacon_id = bench.ids[0]
    for size in range(8):
        for text in (beacon_id[:size], beacon_id[8 - size :]):
            with pytest.raises(UsageError):
                beacon_lookup.find(bench.registry, text)
    with pytest.raises(UsageError):
        beacon_lookup.find(bench.registry, beacon_id + beacon_id[-1])


def test_two_labels_in_one_scan_select_nothing(bench):
    with pytest.raises(UsageError):
        beacon_lookup.find(bench.registry, "".join(bench.ids))


def test_one_wrong_letter_is_refused_and_shown_what_is_near(bench):
    beacon_id = bench.ids[0]
    wrong = ("A" if beacon_id[0] != "A" else "B") + beacon_id[1:]
    with pytest.raises(UsageError) as caught:
        beacon_lookup.find(bench.registry, wrong)
    assert caught.value.code == "unknown_beacon"
    assert f"{beacon_id[:4]}-{beacon_id[4:]} (shelter-3)" in caught.value.hint


def test_no_id_near_is_no_proposal(bench):
    with pytest.raises(UsageError) as caught:
        beacon_lookup.find(bench.registry, "00000000")
    assert "fanal list --all" in caught.value.hint


# each command, and what it says about a beacon that is not the one on the wire
ASKING = {
    "retire": ("retire", "{}", "--yes"),
    "provision": ("provision", "--site", "shelter-3", "--beacon", "{}"),
    "verify": ("verify", "--beacon", "{}"),
    "drill": ("drill", "--beacon", "{}"),
    "disarm": ("drill", "--disarm", "--beacon", "{}"),
}
KNOWING = {
    "reassign": ("reassign", "{}", "--site", "shelter-3"),
    "history": ("history", "{}"),
    "list": ("list", "--beacon", "{}"),
    "revoke": ("revoke", "{}", "--reason", "lost", "--yes"),
    "retire": ("retire", "{}", "--without-board", "--yes"),
}


def words(command, text):
    return [text if word == "{}" else word for word in command]


@pytest.mark.parametrize("command", ASKING.values(), ids=ASKING)
def test_another_board_than_the_one_that_is_meant(bench, command):
    before = bench.registry.beacons()
    result = bench.run(*words(command, bench.ids[1]))
    assert result.exit_code == 3, result.output
    assert f"beacon {shown(bench.ids[0])}, not {shown(bench.ids[1])}" in result.stderr
    assert "--port" not in result.stderr  # it may have been named
    assert bench.attached.calls == ["status"]
    assert bench.registry.beacons() == before


@pytest.mark.parametrize("command", ASKING.values(), ids=ASKING)
def test_a_blank_board_is_none_of_them(bench, command):
    bench.attached = PaperBoard("02:00:00:00:00:77")
    result = bench.run(*words(command, bench.ids[0]))
    assert result.exit_code == 3, result.output
    assert bench.attached.calls == ["status"]


@pytest.mark.parametrize("command", ASKING.values(), ids=ASKING)
def test_the_board_that_is_meant(bench, command):
    for text in scans(bench.ids[0])[-3:]:
        result = bench.run(*words(command, text))
        assert "is attached" not in result.stderr
        assert len(bench.attached.calls) > 1
    assert bench.run(*words(command, bench.ids[0])).exit_code != 3


@pytest.mark.parametrize("command", KNOWING.values(), ids=KNOWING)
def test_every_command_takes_what_a_reader_sends(bench, command):
    shown = []
    for text in scans(bench.ids[0]):
        result = bench.run(*words(command, text), "--json")
        assert result.exit_code == 0, result.output
        shown.append(bench.ids[0] in result.stdout and bench.ids[1] not in result.stdout)
    assert all(shown)
    assert bench.attached.calls == []


@pytest.mark.parametrize("command", [*ASKING.values(), *KNOWING.values()])
@pytest.mark.parametrize("text", ["ZZZZZZZZ", "K7Q2", "\x1b[31mK7Q29XMD", "K7Q29XMU", "é" * 8])
def test_an_id_of_nobody(bench, command, text):
    result = bench.run(*words(command, text))
    assert result.exit_code == 2, result.output
    assert "\x1b" not in result.output
    assert bench.attached.calls == []


def test_to_wipe_and_to_mean_another_one_is_a_contradiction(bench):
    result = bench.run("provision", "--site", "a", "--wipe", bench.ids[0], "--beacon", bench.ids[0])
    assert result.exit_code == 2
    assert bench.attached.calls == []


def test_verbs_ask_for_the_beacon_by_id(bench):
    board, other = bench.attached, bench.ids[1]
    for act in (
        lambda: verify(board, bench.registry, FILES, "0.1.0", beacon_id=other),
        lambda: drill.arm(board, 10, other),
        lambda: drill.disarm(board, other),
    ):
        with pytest.raises(DeviceError) as caught:
            act()
        assert caught.value.code == "other_beacon"
    assert board.drill_s == 0


def test_without_a_beacon_a_drill_needs_no_fleet(bench, tmp_path):
    result = CliRunner().invoke(main, ["--fleet", str(tmp_path / "none"), "drill"])
    assert result.exit_code == 0, result.output


# -- the commands


def test_nothing_is_done_for_good_without_a_yes(bench):
    for args in (
        ("retire",), ("retire", bench.ids[0], "--without-board"),
        ("revoke", bench.ids[0], "--reason", "lost"),
    ):  # fmt: skip
        result = bench.run(*args)
        assert result.exit_code == 2, result.output
        assert "--yes" in result.stderr
    assert bench.attached.seed is not None
    assert all(b.state != RETIRED and b.revocation is None for b in bench.registry.beacons())


def terminal(monkeypatch):
    """Have the command believe that a person answers."""
    monkeypatch.setattr(choice, "_is_answered", lambda: True)


def test_a_person_is_asked_about_what_is_there(bench, monkeypatch):
    terminal(monkeypatch)
    result = bench.run("retire", input="n\n")
    assert result.exit_code == 1
    assert f"{bench.ids[0][:4]}-{bench.ids[0][4:]} (shelter-3, room 12)" in " ".join(
        result.stderr.split()
    )
    assert "Nothing was changed" in result.stderr
    assert bench.attached.seed is not None
    assert "Erase it? [y/N]" in result.stderr
    assert "event" not in result.stderr
    result = bench.run("retire", "--force", input="y\n")
    assert "An event of it may be open" in " ".join(result.stderr.split())
    assert result.exit_code == 0, result.output
    assert bench.attached.seed is None


def test_each_question_says_what_will_happen(bench, monkeypatch):
    terminal(monkeypatch)
    for args, question in (
        (("revoke", bench.ids[1], "--reason", "lost"), "It cannot be taken back. Revoke it?"),
        (("retire", bench.ids[1], "--without-board"), "revoked too. Retire it?"),
    ):
        result = bench.run(*args, input="n\n")
        assert result.exit_code == 1
        said = " ".join(result.stderr.split())
        assert f"{shown(bench.ids[1])} (" in said
        assert f"{question} [y/N]" in said


def test_provision_tells_a_new_identity_from_a_change(bench):
    same = bench.run("provision", "--site", "shelter-3")
    assert "nothing changed" in same.stdout
    changed = bench.run("provision", "--site", "depot")
    assert f"Changed: {shown(bench.ids[0])}  depot" in changed.stdout
    assert "label" not in same.stderr + changed.stderr
    bench.attached = PaperBoard("02:00:00:00:00:77")
    new = bench.run("provision", "--site", "depot")
    assert "Provisioned: " in new.stdout
    assert "on its label" in new.stderr


def test_retire_from_the_command_line(bench):
    done = json.loads(bench.run("retire", "--yes", "--json").stdout)
    assert (done["ok"], done["beacon_id"], done["is_erased"]) == (True, bench.ids[0], True)
    again = bench.run("retire", bench.ids[0], "--yes")
    assert (again.exit_code, "Already retired" in again.stdout) == (0, True)
    found = bench.run("retire", bench.ids[1], "--without-board", "--yes")
    assert "keys are still on its board" in found.stdout
    listed = bench.run("list").stdout
    assert shown(bench.ids[0]) not in listed
    assert shown(bench.ids[0]) in bench.run("list", "--all").stdout
    assert "retired, REVOKED (not" in bench.run("list", "--all").stdout


@pytest.mark.parametrize(
    "args", [("--without-board",), ("{}", "--without-board", "--port", "P"),
             ("{}", "--without-board", "--force")],
)  # fmt: skip
def test_without_a_board_there_is_no_wire(bench, args):
    result = bench.run("retire", *words(args, bench.ids[0]), "--yes")
    assert result.exit_code == 2


def test_history_in_local_time(bench, monkeypatch):
    import time

    monkeypatch.setenv("TZ", "UTC-5:45")
    time.tzset()
    try:
        bench.registry._now_ms = lambda: 1_790_000_000_000
        bench.run("reassign", bench.ids[0], "--site", "depot", "--place", "gate")
        bench.registry.revoke(bench.ids[0], "lost")
        text = bench.run("history", bench.ids[0]).stdout
        assert "2026-09-21 19:58:20 +0545  revoked" in text
        assert "from shelter-3, room 12 to depot, gate" in text
        assert text.splitlines()[0].endswith("provisioned, REVOKED (lost)")
    finally:
        monkeypatch.undo()
        time.tzset()
    told = json.loads(bench.run("history", bench.ids[0], "--json").stdout)
    assert [line["what"] for line in told["history"]] == [
        "reserved", "provisioned", "moved", "revoked",
    ]  # fmt: skip
    assert told["beacon"]["revoked"]["reason"] == "lost"


def test_list_says_what_was_revoked(bench):
    bench.run("revoke", bench.ids[0], "--reason", "lost", "--yes")
    assert "provisioned, REVOKED (lost)" in bench.run("list").stdout
    listed = json.loads(bench.run("list", "--json").stdout)["beacons"]
    assert [b["revoked"] and b["revoked"]["reason"] for b in listed] == ["lost", None]


@pytest.mark.parametrize("verb", ["retire", "reassign", "history", "revoke"])
def test_every_help_has_examples(verb):
    result = CliRunner().invoke(main, [verb, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
