"""The registry: what it refuses, what survives a restart, what it does with foreign files."""

import sqlite3

import pytest
from fanal.error import EnvironmentFault, FanalError, IntegrityError
from fanal.registry import RETIRED, VERIFIED, Clash, Registry, Reservation
from fanal.schema import SCHEMA_VERSION, BeaconRow, SightingRow
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError as ConstraintError


def wanted(beacon_id="AAAAAAAA", key=1, mac="02:00:00:00:00:01", station=0):
    return Reservation(beacon_id, bytes([key]) * 32, mac, "ESP32C3", station, "s", "p", "fixed")


def reopened(fleet):
    fleet.registry.close()
    fleet.registry = Registry(fleet.path, now_ms=fleet.now_ms)
    return fleet.registry


def test_reserving_twice_is_reserving_once(fleet):
    first = fleet.registry.reserve(wanted())
    assert fleet.registry.reserve(wanted()) == first
    assert reopened(fleet).beacons() == [first]


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (wanted(key=2), "id_clash"),
        (wanted(mac="02:00:00:00:00:02"), "clone"),
        (wanted(beacon_id="BBBBBBBB", key=2), "mac_in_use"),
        (wanted(station=1), "other_station"),
    ],
)
def test_what_contradicts_is_refused_and_changes_nothing(fleet, other, code):
    before = [fleet.registry.reserve(wanted())]
    for refuse in (fleet.registry.check, fleet.registry.reserve):
        with pytest.raises(Clash) as caught:
            refuse(other)
        assert caught.value.code == code
    assert fleet.registry.beacons() == before


def test_replacing_retires_the_old_one_for_good(fleet):
    fleet.registry.reserve(wanted())
    fleet.registry.reserve(wanted("BBBBBBBB", 2), replace=True)
    assert [b.state for b in fleet.registry.beacons()] == [RETIRED, "reserved"]
    with pytest.raises(Clash):
        fleet.registry.reserve(wanted(), replace=True)
    for act in (fleet.registry.verified, lambda b: fleet.registry.retire(b, "lost")):
        with pytest.raises(Clash):
            act("AAAAAAAA")


@pytest.mark.parametrize(
    "row",
    [
        {"id": "BBBBBBBB", "public_key": bytes([1]) * 32},
        {"id": "AAAAAAAA", "public_key": bytes([2]) * 32},
        {"id": "BBBBBBBB", "public_key": bytes([2]) * 32, "mac": "02:00:00:00:00:01"},
        {"id": "BBBBBBBB", "public_key": bytes([2]) * 31},
        {"id": "BBBBBBBB", "public_key": bytes([2]) * 32, "state": "lost"},
        {"id": "BBBBBBBB", "public_key": bytes([2]) * 32, "station": 9},
    ],
    ids=["key", "id", "mac", "length", "state", "station"],
)
def test_the_file_itself_refuses_what_must_not_be(fleet, row):
    fleet.registry.reserve(wanted())
    connection = sqlite3.connect(fleet.path)
    connection.execute("PRAGMA foreign_keys = ON")
    full = {
        "mac": "02:00:00:00:00:02", "chip": "", "station": 0, "state": "reserved", "site": "",
        "place": "", "profile": "", "settings": "{}", "newest_event": 0, "first_ms": 0,
        "last_ms": 0, **row,
    }  # fmt: skip
    marks = ", ".join("?" * len(full))
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(
            f"INSERT INTO beacon ({', '.join(full)}) VALUES ({marks})", list(full.values())
        )
    connection.close()


def test_a_constraint_that_bites_is_a_sentence(fleet):
    with pytest.raises(Clash) as caught:
        fleet.registry.record_sighting("NOBODY00", 1, slot=0, seq=0, t_ms=0, verdict="fresh")
    assert caught.value.sentence
    with pytest.raises(Clash), fleet.registry._writing():
        raise ConstraintError("INSERT", {}, Exception())


def test_the_line_survives_a_restart(fleet):
    registry = fleet.registry
    registry.reserve(wanted())
    for seq, verdict in ((0, "fresh"), (5, "fresh"), (3, "late"), (3, "duplicate"), (9, "replay")):
        registry.record_sighting(
            "AAAAAAAA", 4, slot=1, seq=seq, t_ms=1000 * seq, verdict=verdict, rssi_dbm=-70
        )
    line = [(0, 1, 0), (5000, 1, 5), (3000, 1, 3)]
    registry = reopened(fleet)
    assert registry.line("AAAAAAAA", 4) == line
    assert registry.line("AAAAAAAA", 5) == []
    assert registry.lines() == {("AAAAAAAA", 4): line}
    assert registry.watched()[0].newest_event == 4


def test_what_leaves_the_line_becomes_a_replay(fleet):
    registry = fleet.registry
    registry.reserve(wanted())
    registry.record_sighting("AAAAAAAA", 1, slot=0, seq=7, t_ms=99_000, verdict="fresh")
    registry.record_sighting("AAAAAAAA", 1, slot=0, seq=7, t_ms=99_500, verdict="duplicate")
    registry.record_sighting(
        "AAAAAAAA", 1, slot=0, seq=8, t_ms=16_000, verdict="fresh", left=[(99_000, 0, 7)]
    )
    assert registry.line("AAAAAAAA", 1) == [(16_000, 0, 8)]
    with registry._reading() as session:
        verdicts = [row.verdict for row in session.scalars(select(SightingRow))]
    assert verdicts == ["replay", "duplicate", "fresh"]


def test_a_replay_moves_nothing(fleet):
    fleet.registry.reserve(wanted())
    fleet.registry.record_sighting("AAAAAAAA", 9, slot=0, seq=0, t_ms=0, verdict="replay")
    assert fleet.registry.find("AAAAAAAA").newest_event == 0


def test_the_newest_event_only_grows(fleet):
    fleet.registry.reserve(wanted())
    for event in (3, 7, 5):
        fleet.registry.record_sighting("AAAAAAAA", event, slot=0, seq=0, t_ms=0, verdict="fresh")
    assert fleet.registry.find("AAAAAAAA").newest_event == 7


def test_a_reserved_beacon_is_watched_and_a_retired_one_is_not(fleet):
    fleet.registry.reserve(wanted())
    assert [w.beacon_id for w in fleet.registry.watched()] == ["AAAAAAAA"]
    fleet.registry.retire("AAAAAAAA", "stolen")
    assert fleet.registry.watched() == []
    assert fleet.registry.custody("AAAAAAAA")[-1].detail == "stolen"


def test_history_tells_what_was_done(fleet):
    fleet.registry.reserve(wanted())
    moves = (("a", "fixed"), ("b", "carried"))
    for site, profile in moves:
        fleet.registry.provisioned(
            "AAAAAAAA", b"der", site=site, place="", profile=profile, settings={"hold_ms": 1}
        )
    fleet.registry.verified("AAAAAAAA")
    history = fleet.registry.custody("AAAAAAAA")
    assert [entry.what for entry in history] == ["reserved", "provisioned", "changed", "verified"]
    assert history[-1].detail == "by wire"
    assert [entry.at_ms for entry in history] == sorted(entry.at_ms for entry in history)
    beacon = fleet.registry.find("AAAAAAAA")
    assert (beacon.state, beacon.site, beacon.settings) == (VERIFIED, "b", {"hold_ms": 1})


def test_a_newer_schema_is_refused_politely(fleet):
    fleet.registry.close()
    connection = sqlite3.connect(fleet.path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = fleet.path.read_bytes()
    with pytest.raises(EnvironmentFault) as caught:
        Registry(fleet.path)
    assert (caught.value.code, caught.value.exit_code) == ("newer", 7)
    assert fleet.path.read_bytes() == before


def test_files_that_are_no_registry(tmp_path):
    foreign, text, nothing = (tmp_path / name for name in ("foreign.db", "text.db", "nothing.db"))
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE a (b)")
    connection.close()
    text.write_bytes(b"not a database, but long enough to look at" * 30)
    for path in (foreign, text):
        with pytest.raises(IntegrityError):
            Registry(path)
    with pytest.raises(FanalError) as caught:
        Registry(nothing)
    assert caught.value.code == "no_fleet"
    assert not nothing.exists()


def test_a_registry_in_use_is_a_sentence(fleet, monkeypatch):
    monkeypatch.setattr("fanal.database._BUSY_S", 0.0)
    registry = Registry(fleet.path)
    holder = sqlite3.connect(fleet.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(EnvironmentFault) as caught:
        registry.reserve(wanted())
    assert caught.value.code == "busy"
    holder.close()
    registry.close()


def test_one_file_is_the_whole_truth(fleet):
    fleet.registry.reserve(wanted())
    assert [path.name for path in fleet.path.parent.iterdir()] == [fleet.path.name]
    assert fleet.path.read_bytes()[18:20] == b"\1\1"  # a rollback journal, not a WAL


def test_no_secret_has_a_column():
    columns = {column.name for column in BeaconRow.__table__.columns}
    assert not columns & {"seed", "event_key", "root", "secret"}
