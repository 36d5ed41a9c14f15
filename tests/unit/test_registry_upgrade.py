"""A registry of an older Fanal: what was in it stays, and a crash in the middle costs nothing."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import op
from fanal import database, log_entry, schema, upgrade
from fanal.error import EnvironmentFault, IntegrityError
from fanal.log_checkpoint import checkpoint
from fanal.log_verify import verify
from fanal.registry import RETIRED, VERIFIED, Registry

from tests.unit.paper_fleet import PaperFleet
from tests.unit.paper_log import rehashed

NEW = schema.SCHEMA_VERSION
HERE = Path(__file__).parent
TABLES = ("fleet", "station", "beacon", "custody", "sighting")
COLUMNS = {  # of version 1
    "sighting": "id, beacon, event, slot, seq, t_ms, verdict, rssi_dbm",
    "fleet": "id, certificate, created_ms",
    "beacon": "id, public_key, mac, chip, station, state, certificate, site, place, profile,"
    " settings, newest_event, first_ms, last_ms",
}
ADDED = {  # tables since
    "revocation", "station_revocation", "log_leaf", "log_node", "log_checkpoint", "log_stamp",
}  # fmt: skip


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "registry.db"
    connection = sqlite3.connect(path)
    connection.executescript((HERE / "registry-v1.sql").read_text())
    connection.close()
    return path


def read(path):
    """Return (version, the rows of every table that was in version 1, the other tables)."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        asked = {table: f"SELECT {COLUMNS.get(table, '*')} FROM {table}" for table in TABLES}
        rows = {table: connection.execute(query).fetchall() for table, query in asked.items()}
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return version, rows, {name for (name,) in names} - set(TABLES)
    finally:
        connection.close()


def shape(path):
    """Return what the file says of its tables, whatever its spaces."""
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    tidied = {name: " ".join((sql or "").split()) for name, sql in found}
    return {name: sql.replace("( ", "(").replace(" )", ")") for name, sql in tidied.items()}


def test_what_was_in_it_is_in_it(old):
    version, rows, others = read(old)
    assert (version, others) == (1, set())
    with Registry(old) as registry:
        assert [(b.beacon_id, b.state, b.revocation) for b in registry.beacons()] == [
            ("AAAAAAAA", VERIFIED, None), ("BBBBBBBB", RETIRED, None),
            ("CCCCCCCC", "reserved", None),
        ]  # fmt: skip
        assert [w.beacon_id for w in registry.watched()] == ["AAAAAAAA", "CCCCCCCC"]
        assert registry.lines() == {("AAAAAAAA", 3): [(5000, 1, 2)]}
    assert read(old) == (schema.SCHEMA_VERSION, rows, ADDED)
    assert [path.name for path in old.parent.iterdir()] == [old.name]


def test_an_upgraded_file_is_like_a_new_one(old, tmp_path):
    Registry(old).close()
    fleet = PaperFleet(tmp_path)
    fleet.registry.close()
    assert shape(old) == shape(fleet.path)


def test_a_sighting_that_an_older_one_kept_is_of_no_known_kind(old):
    with Registry(old) as registry:
        assert registry.newest_heard() == {"AAAAAAAA": ((3, 5000, 904, False),) * 2}


def test_an_upgraded_file_takes_what_is_new(old):
    with Registry(old) as registry:
        assert registry.revoke("AAAAAAAA", "lost")
    with Registry(old) as registry:
        assert registry.find("AAAAAAAA").revocation.reason == "lost"


def test_there_is_a_step_from_every_version():
    found = [version for version, _ in upgrade.steps(1, schema.SCHEMA_VERSION)]
    assert found == list(range(2, schema.SCHEMA_VERSION + 1))
    assert [version for version, _ in upgrade.steps(3, 4)] == [4]


def test_killed_at_any_write_it_is_the_old_one_or_the_new_one(old, tmp_path):
    _, rows, _ = read(old)
    folder = tmp_path / "killed"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, HERE / "killed_upgrade.py", old, folder],
        capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    killed = [int(limit) for limit in done.stdout.split()]
    assert len(killed) > 10
    # in the middle: part of the file is new already, and a journal has to take it back
    torn = [
        limit for limit in killed
        if (folder / f"{limit}.db").read_bytes() != old.read_bytes()
        and (folder / f"{limit}.db-journal").exists()
    ]  # fmt: skip
    assert torn
    for path in folder.glob("*.db"):
        version, found, others = read(path)
        assert (version, others) in ((1, set()), (NEW, ADDED))
        assert version == 1 or int(path.stem) not in killed
        assert found == rows
        Registry(path).close()
        assert read(path) == (NEW, rows, ADDED)


class Broken:
    """A step that fails after it has changed something."""

    @staticmethod
    def upgrade():
        op.create_table("half", sa.Column("a", sa.Integer))
        op.execute("nonsense")


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_step_that_fails_leaves_the_old_file(old, monkeypatch, version):
    before, real = old.read_bytes(), upgrade.steps

    def steps(low, high):
        return [(v, Broken if v == version else m) for v, m in real(low, high)]

    monkeypatch.setattr(upgrade, "steps", steps)
    with pytest.raises(EnvironmentFault):
        Registry(old)
    assert old.read_bytes() == before
    monkeypatch.undo()
    Registry(old).close()


def test_two_commands_that_upgrade_at_once(old):
    opened, problems = [], []

    def work():
        try:
            with Registry(old) as registry:
                opened.append(len(registry.beacons()))
        except Exception as problem:  # noqa: BLE001
            problems.append(problem)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (opened, problems) == ([3] * 4, [])


def test_a_second_command_finds_it_done(old, monkeypatch):
    """It saw the old version; when its turn came, another one had upgraded."""
    real = database.Database._upgrade

    def late(self):
        with monkeypatch.context() as quicker:
            quicker.setattr(database.Database, "_upgrade", real)
            Registry(old).close()
        real(self)

    monkeypatch.setattr(database.Database, "_upgrade", late)
    Registry(old).close()
    assert read(old)[0] == schema.SCHEMA_VERSION


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everything; run as a user")
def test_an_old_file_that_cannot_be_written(old):
    old.chmod(0o400)
    with pytest.raises(EnvironmentFault) as caught:
        Registry(old)
    assert "written" in caught.value.sentence


def test_an_old_file_on_a_disk_that_takes_nothing(old, monkeypatch):
    """Not "is it yours?": the file is old, and a copy of it elsewhere can be brought up."""
    monkeypatch.setattr(database, "_PRAGMAS", (*database._PRAGMAS, "query_only = ON"))
    before = old.read_bytes()
    with pytest.raises(EnvironmentFault, match="of an older Fanal") as caught:
        Registry(old)
    assert "Copy its folder" in caught.value.hint
    assert old.read_bytes() == before


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_that_never_was(old, version):
    connection = sqlite3.connect(old)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    with pytest.raises(IntegrityError):
        Registry(old)


@pytest.mark.parametrize("size", [0, 50, 100, 4095, 4096, 5000, 12288])
def test_a_file_that_was_cut_is_never_upgraded_to_something(old, size):
    whole = old.read_bytes()
    old.write_bytes(whole[:size])
    with pytest.raises((IntegrityError, EnvironmentFault)), Registry(old) as registry:
        registry.beacons()
    assert size < len(whole)


# what older releases wrote, word for word
LATER = {
    2: "CREATE TABLE revocation (beacon VARCHAR(8) NOT NULL, at_ms INTEGER NOT NULL, reason VARCHAR"
    " NOT NULL, PRIMARY KEY (beacon), FOREIGN KEY(beacon) REFERENCES beacon (id));"
    "INSERT INTO revocation VALUES ('BBBBBBBB', 12, 'stolen');",
    3: "ALTER TABLE sighting ADD COLUMN activation INTEGER;"
    "INSERT INTO sighting VALUES (9, 'AAAAAAAA', 4, 0, 7, 99000, 'fresh', -70, 1);",
}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_file_of_any_age_comes_up_without_loss(old, tmp_path, version):
    connection = sqlite3.connect(old)
    for step in range(2, version + 1):
        connection.executescript(f"{LATER[step]} PRAGMA user_version = {step};")
    connection.close()
    _, rows, _ = read(old)
    with Registry(old) as registry:
        revoked = registry.find("BBBBBBBB").revocation
        assert (revoked and revoked.reason) == ("stolen" if version > 1 else None)
        assert ("AAAAAAAA", 4) in registry.lines() if version == 3 else True
        assert [w.horizon for w in registry.watched()] == [0] * len(registry.watched())
    assert read(old) == (NEW, rows, ADDED)
    fleet = PaperFleet(tmp_path)
    fleet.registry.close()
    assert shape(old) == shape(fleet.path)


def test_the_log_of_an_older_file_begins_with_what_is_there(old):
    with Registry(old) as registry:
        entries = [log_entry.decode(leaf.content) for leaf in registry.leaves()]
        histories = [registry.custody(b.beacon_id) for b in registry.beacons()]
    assert entries[0]["what"] == "log began"
    taken = {e["beacon"]: e["row"]["state"] for e in entries if "beacon" in e and "row" in e}
    assert taken == {"AAAAAAAA": "verified", "BBBBBBBB": "retired", "CCCCCCCC": "reserved"}
    lines = [e for e in entries if "custody" in e]
    assert len(lines) == sum(len(history) for history in histories)


def test_a_file_that_was_restored_before_there_were_branches_keeps_its_name(tmp_path):
    fleet = PaperFleet(tmp_path)
    fleet.registry.raise_epoch()
    fleet.registry.close()
    with closing(sqlite3.connect(fleet.path)) as connection:
        of = "FROM log_leaf ORDER BY number DESC LIMIT 1"
        number, content = connection.execute(f"SELECT number, content {of}").fetchone()
        told = json.loads(content)
        del told["row"]["branch"]
        content = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
        connection.execute("UPDATE log_leaf SET content = ? WHERE number = ?", (content, number))
        connection.execute("ALTER TABLE fleet DROP COLUMN branch")
        connection.execute("PRAGMA user_version = 4")
        connection.commit()
    rehashed(fleet)
    with Registry(fleet.path) as registry:
        assert registry.origin().endswith("/station-0/epoch-1")
        note = checkpoint(registry, fleet.station, None).note
        assert verify(registry, [note]).findings == ()
        assert registry.raise_epoch() == 2
        assert verify(registry).findings == ()
