"""`fanal incident`: what is printed, what is recorded, what is refused."""

import json

import pytest
from click.testing import CliRunner
from fanal.cli import main
from fanal.hub import founding
from fanal.hub.tables import BeaconRow, NoticeRow

from tests.unit.incident_rows import (
    BEACON,
    T0,
    Clock,
    incident,
    listener,
    paper_store,
    put,
    sighting,
    timeline,
)

CONFIG = """
[hub]
public_url = "https://hub.example"
[[channel]]
name = "desk"
kind = "webhook"
url = "https://desk.example/"
secret_file = "secret"
"""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(founding, "is_founded", lambda folder: folder == tmp_path)
    monkeypatch.setenv("FANAL_HUB", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    (tmp_path / "hub.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def store(hub):
    with paper_store(f"sqlite:///{hub / 'hub.db'}", Clock()) as opened:
        yield opened


def run(*arguments):
    return CliRunner().invoke(main, ["incident", *map(str, arguments)])


def answer(*arguments):
    done = run(*arguments, "--json")
    return done.exit_code, json.loads(done.stdout)


def test_a_list_fits_a_terminal_and_says_what_each_is(store):
    put(store, *(incident(n, kind, is_replay=n == 4, first_heard_ms=T0 - 60_000)
                 for n, kind in enumerate(("ALERT", "DRILL", "TEST", "ALERT"), 1)))  # fmt: skip
    done = run("list")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for word in ("ALERT", "DRILL", "TEST", "ALERT (replay)", "K7Q2-9XMD", "Heard", "Received"):
        assert word in done.stdout
    assert "01-15 07:59:00" in done.stdout
    assert "01-15 08:00:00" in done.stdout


def test_an_empty_list(store):
    assert run("list").stdout == "No incident.\n"
    assert answer("list") == (0, {"ok": True, "incidents": [], "next": None, "counts": {}})


def test_a_list_can_be_chosen_and_goes_on(store):
    put(store, *(incident(n, ("ALERT", "DRILL")[n % 2]) for n in range(1, 8)))
    _, first = answer("list", "--limit", 2, "--kind", "drill")
    _, rest = answer("list", "--limit", 9, "--kind", "DRILL", "--before", first["next"])
    assert [one["event"] for one in first["incidents"] + rest["incidents"]] == [7, 5, 3, 1]
    assert {one["kind"] for one in first["incidents"]} == {"DRILL"}
    code, refused = answer("list", "--before", "nonsense")
    assert (code, refused["error"]) == (2, "before")


@pytest.mark.parametrize("kind", ["ALERT", "DRILL", "TEST"])
def test_show_says_everything_within_80_columns(store, kind):
    [number] = put(store, incident(kind=kind, is_resumed=True, is_battery_low=True))
    put(store, listener(), *(sighting(number, n) for n in range(20)))
    run("note", number, "first line\nsecond line", "--as", "duty")
    done = run("show", number)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith(f"{kind}  incident {number}: open")
    for word in ("First heard", "First received", "or earlier", "LOW", "second line", "kitchen",
                 "duty (command line)", "52.50000"):  # fmt: skip
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    _, found = answer("show", number)
    assert (found["ok"], found["kind"], found["incident"]["id"]) == (True, kind, number)
    assert all(one["evidence"] is None for one in found["sightings"]["items"])


def test_what_is_from_outside_cannot_drive_the_terminal(store):
    with store.writing() as session:
        session.get_one(BeaconRow, BEACON).place = "\x1b[2J\u202eroom [red]12[/red]"
    [number] = put(store, incident(assigned_to="\x1b]0;x\x07"))
    put(store, listener(name="\x1b[31m[bold]ear[/bold]"), sighting(number))
    for done in (run("list"), run("show", number)):
        assert done.exit_code == 0
        assert not set(done.stdout) & set("\x1b\x07\u202e")
        assert "[/red]" in done.stdout  # markup of rich is shown as it is


def test_each_action_is_recorded_with_who_and_from_where_and_is_told(store):
    [number] = put(store, incident(kind="DRILL"))
    for arguments in (
        ("acknowledge", number), ("assign", number, "night shift"), ("note", number, "text"),
        ("close", number, "--reason", "drill over", "--text", "well done"),
        ("reopen", number, "--reason", "again"),
    ):  # fmt: skip
        done = run(*arguments, "--as", "duty")
        assert done.exit_code == 0, done.stderr
        assert f"DRILL: incident {number} is " in done.stdout
    assert [(who, what) for who, what, _ in timeline(store, number)] == [
        ("duty (command line)", what)
        for what in ("acknowledged", "assigned", "noted", "closed", "reopened")
    ]
    with store.reading() as session:
        [row] = session.query(NoticeRow)
        assert (row.channel, row.message) == ("desk", "Alert")
        assert row.body["content"]["data"]["url"] == f"https://hub.example/incidents/{number}"


def test_twice_changes_nothing_and_says_who_was_first(store):
    [number] = put(store, incident())
    run("acknowledge", number, "--as", "duty")
    done = run("acknowledge", number, "--as", "night")
    assert (done.exit_code, "before, by duty (command line)" in done.stdout) == (0, True)
    code, found = answer("acknowledge", number, "--as", "night")
    assert (code, found["is_new"], found["kind"]) == (0, False, "ALERT")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("show", 99), 1, "not_found"),
        (("acknowledge", 99, "--as", "duty"), 1, "not_found"),
        (("acknowledge", 1, "--as", " "), 1, "name"),
        (("close", 1, "--as", "duty", "--reason", "bored"), 1, "reason"),
        (("close", 1, "--as", "duty", "--reason", "drill over"), 1, "reason"),
        (("reopen", 1, "--as", "duty", "--reason", "x"), 1, "not_closed"),
        (("note", 1, "a\x1bb", "--as", "duty"), 1, "text"),
        (("acknowledge", 1), 2, "usage"),
        (("acknowledge", "one", "--as", "duty"), 2, "usage"),
        (("list", "--state", "lost"), 2, "usage"),
    ],
)
def test_what_is_refused(store, arguments, code, error):
    put(store, incident())
    got, found = answer(*arguments)
    assert (got, found["ok"], found["error"]) == (code, False, error)
    assert timeline(store, 1) == []


def test_where_there_is_no_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("FANAL_HUB", str(tmp_path / "none"))
    done = run("list")
    assert done.exit_code == 1
    assert "Traceback" not in done.output


def test_an_export_is_private_whole_and_never_over_another(store, hub):
    [number] = put(store, incident(kind="DRILL"))
    put(store, *(sighting(number, n) for n in range(7)))
    out = hub / "one.json"
    done = run("export", number, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert "DRILL" in done.stdout
    assert out.stat().st_mode & 0o777 == 0o600
    found = json.loads(out.read_text())
    assert (found["kind"], len(found["sightings"])) == ("DRILL", 7)
    assert run("export", number, "--out", out).exit_code == 2
    assert json.loads(out.read_text()) == found
