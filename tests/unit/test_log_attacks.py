"""Every value of every table, changed behind the program's back: found, or a reason why not.

The edits are made from the schema, so that nothing that is added to it stays unwatched. The whole
of them, some thousands: FANAL_LOG_EDITS=all.
"""

import os
import random
import shutil
import sqlite3
from contextlib import closing

import pytest
from fanal import log_entry, merkle
from fanal.error import FanalError
from fanal.log_verify import verify
from fanal.registry import Registry
from fanal.schema import SCHEMA_VERSION

from tests.unit import edited_registry
from tests.unit.edited_registry import TABLES

PAGE = 4096  # bytes
ALL = os.environ.get("FANAL_LOG_EDITS") == "all"

# table, column (None: whole rows) -> why an edit of it may stay unnoticed
EXCEPTIONS = {
    ("sighting", "rssi_dbm"): "how strong an alert was says nothing of beacon, event or time",
    **{
        ("sighting", column): "of each event the first alert is in the log, and all that counts of"
        " it: event, time and verdict. What else was heard of it is not, or the log would grow by"
        " what anybody sends"
        for column in (None, *TABLES["sighting"].columns.keys())
        if column != "rssi_dbm"
    },
    ("log_checkpoint", None): "an older checkpoint than the newest vouches for nothing that that"
    " does not vouch for too; for a station's log the own one does",
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """One registry for all tests: each question that SQL is asked is made up only once."""
    path = tmp_path_factory.mktemp("edited") / "registry.db"
    path.write_bytes(edited_registry.everything()[0])
    registry = Registry(path)
    yield registry
    registry.close()


@pytest.fixture
def file(opened):
    """Where a registry lies in which there is everything."""
    opened.close()
    opened.path.write_bytes(edited_registry.everything()[0])
    return opened.path


@pytest.fixture
def registry(opened, file):
    return opened


def found(registry, *, anchored=True):
    registry.close()  # nothing is remembered of the file that was here before
    anchors = [edited_registry.everything()[1]] if anchored else []
    return verify(registry, anchors).findings


def told_of(registry):
    """Return the sightings that the log tells of."""
    entries = (log_entry.decode(leaf.content) for leaf in registry.leaves())
    return {entry["sighting"] for entry in entries if "sighting" in entry}


def is_excepted(edit, told):
    if (edit.table, edit.column) not in EXCEPTIONS:
        return False
    if edit.table == "sighting" and edit.column != "rssi_dbm":
        return not told & set(edit.rows) or edit.what == "put in again"
    return True


def test_the_file_is_whole(registry):
    assert found(registry) == ()
    assert [state.signed == state.size for state in verify(registry).logs] == [True] * 3


def test_every_exception_is_of_something():
    columns = {(name, one.name) for name, table in TABLES.items() for one in table.columns}
    assert EXCEPTIONS.keys() <= columns | {(name, None) for name in TABLES}


@pytest.mark.timeout(0 if ALL else 120)
def test_every_column_of_every_table(registry, file):
    """A table or a column that nobody watches fails here, and one of which there is no row."""
    whole, _ = edited_registry.everything()
    told = told_of(registry)
    by_column = {(name, column): [] for name, table in TABLES.items()
                 for column in (None, *table.columns.keys())}  # fmt: skip
    for edit in edited_registry.edits(file):
        by_column[edit.table, edit.column].append(edit)
    unnoticed, unmade = [], []
    for column, edits in by_column.items():
        random.shuffle(edits)
        made = 0
        for edit in edits:
            if is_excepted(edit, told) or not edited_registry.make(file, whole, edit):
                continue
            made += 1
            if not found(registry):
                unnoticed.append(str(edit))
            if made == (2 if column[1] is None else 1) and not ALL:
                break
        if not made and column not in EXCEPTIONS:
            unmade.append(column)
    assert (unnoticed, unmade) == ([], [])


HIDDEN = {
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON revocation BEGIN DELETE FROM revocation; END;",
    "a view in place of a table": "ALTER TABLE revocation RENAME TO other;"
    "CREATE VIEW revocation AS SELECT * FROM other LIMIT 1;",
    "a view beside": "CREATE VIEW v AS SELECT 1;",
    "a table beside": "CREATE TABLE t (a);",
    "a table gone": "DROP TABLE log_stamp;",
    "a table of the log gone": "DROP TABLE log_leaf;",
    "all tables gone": "DROP TABLE sighting; DROP TABLE custody; DROP TABLE revocation;"
    "DROP TABLE beacon; DROP TABLE fleet;",
    "an index gone": "DROP INDEX one_active_identity_per_mac;",
    "another index": "DROP INDEX one_active_identity_per_mac;"
    "CREATE INDEX one_active_identity_per_mac ON beacon (mac);",
    "an index beside": "CREATE INDEX i ON beacon (site);",
    "a column beside": "ALTER TABLE beacon ADD COLUMN note TEXT;",
    "a column gone": "ALTER TABLE log_stamp DROP COLUMN authority;",
    "a column of another name": "ALTER TABLE station RENAME COLUMN created_ms TO x;",
    "a rule gone": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql,"
    " 'NOT NULL', '') WHERE name = 'revocation';",
    "a name that is no text": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET name ="
    " CAST(name AS BLOB) WHERE name = 'one_active_identity_per_mac';",
    "a kind that is no text": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET type ="
    " x'ff' WHERE name = 'one_active_identity_per_mac';",
    "another table under a name": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage ="
    " (SELECT rootpage FROM sqlite_master WHERE name = 'revocation')"
    " WHERE name = 'station_revocation';",
    "a station that does not exist": "PRAGMA foreign_keys = OFF; UPDATE beacon SET station = 99;",
    "no UTF-8": "UPDATE beacon SET site = CAST(x'ff' AS TEXT);",
    "no UTF-8 in the log's name": "UPDATE log_leaf SET log = CAST(x'ff' AS TEXT)"
    " WHERE log = '' AND number = 3;",
    "no fleet": "DELETE FROM fleet;",
    "no certificate": "UPDATE fleet SET certificate = x'30';",
    "no entries at all": "DELETE FROM log_leaf; DELETE FROM log_node; DELETE FROM log_checkpoint;",
    "another station": "UPDATE fleet SET station = 1;",
    "a station's log gone": "DELETE FROM log_leaf WHERE log LIKE '%/station-3';"
    "DELETE FROM log_node WHERE log LIKE '%/station-3';"
    "DELETE FROM log_checkpoint WHERE log LIKE '%/station-3';",
    "a station's log under another name": "UPDATE log_leaf SET log = log || '9' WHERE log != '';"
    "UPDATE log_node SET log = log || '9' WHERE log != '';"
    "DELETE FROM log_checkpoint WHERE log != '';",
    "a log of nobody": "INSERT INTO log_leaf SELECT 'x', number, content, hash FROM log_leaf"
    " WHERE log = '' AND number = 0;",
    "an alert that nobody heard": "INSERT INTO sighting SELECT NULL, beacon, 99, slot, seq, t_ms,"
    " 'fresh', rssi_dbm, activation FROM sighting LIMIT 1;",
    "all alerts gone": "DELETE FROM sighting;",
    "all timestamps gone": "DELETE FROM log_stamp;",
    "the newest checkpoint gone": "DELETE FROM log_checkpoint WHERE log = '' AND size ="
    " (SELECT max(size) FROM log_checkpoint WHERE log = '');",
    "text for bytes": "UPDATE log_node SET hash = CAST(hash AS TEXT) WHERE level = 1;",
    "text for an entry": "UPDATE log_leaf SET content = CAST(content AS TEXT) WHERE number = 3;",
    "nonsense for an entry": "UPDATE log_leaf SET content = x'7b7d', hash = x'' WHERE number = 9;",
}


@pytest.mark.parametrize("edit", HIDDEN)
def test_what_hides_something(registry, file, edit):
    whole, _ = edited_registry.everything()
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(whole)
        connection.executescript(HIDDEN[edit])
        file.write_bytes(connection.serialize())
    assert found(registry)


def test_a_log_of_nobody_is_called_so(registry, file):
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(HIDDEN["a log of nobody"])
    told = {one.sentence for one in found(registry) if one.log == "x"}
    assert "This is a log of no station of this fleet." in told


def rehash(connection, log=""):
    """Make all hashes of a log anew."""
    connection.execute("DELETE FROM log_node WHERE log = ?", (log,))
    asked = "SELECT number, content FROM log_leaf WHERE log = ? ORDER BY number"
    frontier = merkle.Frontier()
    for number, content in connection.execute(asked, (log,)).fetchall():
        nodes = frontier.append(merkle.leaf_hash(content))
        connection.execute("UPDATE log_leaf SET hash = ? WHERE log = ? AND number = ?",
                           (nodes[0].hash, log, number))  # fmt: skip
        connection.executemany("INSERT INTO log_node VALUES (?, ?, ?, ?)",
                               [(log, *node) for node in nodes[1:]])  # fmt: skip


def forge(file, log, *, without_checkpoints):
    """Change an entry and make all hashes anew, as somebody would who knows how."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(
            "UPDATE log_leaf SET content = CAST(replace(content, 'ESP32C3', 'ESP32S3') AS BLOB)"
            " WHERE log = ?", (log,)
        )  # fmt: skip
        if log == "":
            connection.execute("UPDATE beacon SET chip = 'ESP32S3'")
        rehash(connection, log)
        if without_checkpoints:
            connection.execute("DELETE FROM log_checkpoint WHERE log = ?", (log,))
        connection.commit()


def test_an_entry_copied_behind_the_last_one(registry, file):
    """Nobody signed for it yet, and it may agree with all there is: its salt tells."""
    with closing(sqlite3.connect(file)) as connection, connection:
        size = connection.execute("SELECT count(*) FROM log_leaf WHERE log = ''").fetchone()[0]
        connection.execute(
            "INSERT INTO log_leaf SELECT log, ?, content, hash FROM log_leaf"
            " WHERE log = '' AND number = 0",
            (size,),
        )
    found = [one for one in verify(registry).findings if one.code == "inserted"]
    assert [(one.log, one.entry) for one in found] == [("", size)]
    assert found[0].sentence == f"Entry {size} is entry 0 once more."


def test_all_hashes_made_anew(registry, file):
    forge(file, "", without_checkpoints=False)
    assert {one.code for one in found(registry, anchored=False)} == {"checkpoint"}


def test_all_hashes_made_anew_and_no_checkpoint_left(registry, file):
    """Only what lies elsewhere tells; and that nobody signed is said."""
    forge(file, "", without_checkpoints=True)
    assert [one.code for one in found(registry)] == ["anchor"]
    alone = verify(registry)
    assert (alone.findings, alone.logs[0].signed) == ((), 0)
    assert "are not signed yet, the first of" in alone.remarks[0]


@pytest.mark.parametrize("without_checkpoints", [False, True])
def test_a_station_s_log_made_anew(registry, file, without_checkpoints):
    """The own log says which one was brought in, whatever is left of its checkpoints."""
    log = registry.logs()[1]
    forge(file, log, without_checkpoints=without_checkpoints)
    assert {one.log for one in found(registry, anchored=False)} == {log}


def test_a_station_s_log_that_went_on(registry, file):
    """Entries after what was brought in, well made: nobody brought them in."""
    log = registry.logs()[1]
    with closing(sqlite3.connect(file)) as connection:
        size = registry.log_size(log)
        connection.execute(
            "INSERT INTO log_leaf SELECT log, ?, content, hash FROM log_leaf WHERE log = ?"
            " AND number = 3", (size, log),
        )  # fmt: skip
        rehash(connection, log)
        connection.commit()
    codes = [(one.log, one.code) for one in found(registry, anchored=False)]
    assert codes == [(log, "inserted"), (log, "table")]


@pytest.mark.parametrize("version", [*range(SCHEMA_VERSION), SCHEMA_VERSION + 1, 99])
def test_another_version(file, version):
    """One that says that it is older would be brought up to date: its tables are there already."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(FanalError), Registry(file) as registry:
        verify(registry)


def test_an_older_file_made_of_it_begins_another_log(file, tmp_path):
    """The log thrown away and made anew by the program itself: an anchor tells."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(
            "DROP TABLE log_leaf; DROP TABLE log_node; DROP TABLE log_checkpoint;"
            "DROP TABLE log_stamp; DROP TABLE station_revocation;"
            "ALTER TABLE fleet DROP COLUMN epoch; ALTER TABLE fleet DROP COLUMN station;"
            "ALTER TABLE fleet DROP COLUMN branch;"
            "ALTER TABLE beacon DROP COLUMN horizon; DELETE FROM revocation;"
            "PRAGMA user_version = 3;"
        )
    with Registry(file) as registry:
        assert found(registry)
        alone = verify(registry)  # what was heard before there was a log is in no entry
        assert (alone.findings, "are not signed yet" in alone.remarks[0]) == ((), True)


# -- a byte editor


def places(whole):
    """Return some places in a file: all of its head, and of each page."""
    if ALL:
        return [*range(512), *random.sample(range(len(whole)), 5000)]
    pages = range(0, len(whole), PAGE)
    return [*random.sample(range(110), 12), *(page + random.randrange(PAGE) for page in pages),
            *(page + random.randrange(12) for page in random.sample(pages, 10))]  # fmt: skip


def outcome(path, registry, *, is_head=True):
    """Return 0, 4 or 7 as `fanal log verify` would end. Any other exception is one too many.

    is_head: whether what is read when a file is opened may be another: its version, whose it is.
    """
    registry.close()
    try:
        if is_head:
            Registry(path).close()
        return 4 if verify(registry, [edited_registry.everything()[1]]).findings else 0
    except FanalError as problem:
        return problem.exit_code


@pytest.mark.timeout(0 if ALL else 120)
def test_a_byte_anywhere(registry, file):
    """Whatever a byte changes of what is in the tables is found, or the file is refused."""
    whole, _ = edited_registry.everything()
    before, unnoticed = content(file), []
    for place in places(whole):
        changed = bytearray(whole)
        changed[place] ^= 1 << random.randrange(8)
        file.write_bytes(changed)
        ended = outcome(file, registry, is_head=place < 100)
        if ended not in (0, 4, 7) or (ended == 0 and content(file) != before):
            unnoticed.append((place, ended))
    assert unnoticed == []


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off(registry, file, share):
    whole, _ = edited_registry.everything()
    file.write_bytes(whole[: int(len(whole) * share)])
    assert outcome(file, registry) == 4


def test_a_schema_that_is_no_text(registry, file):
    """SQLite quotes it in what it complains of."""
    whole, _ = edited_registry.everything()
    file.write_bytes(whole.replace(b"CREATE TABLE log_stamp", b"CREATE TABL\xf3 log_stamp"))
    assert outcome(file, registry) == 4
    file.write_bytes(whole.replace(b"CREATE TABLE log_stamp", b"CREATE TABLE \xf3og_stamp"))
    assert outcome(file, registry) == 4


def test_pages_exchanged(registry, file):
    whole, _ = edited_registry.everything()
    pages = [whole[at : at + PAGE] for at in range(0, len(whole), PAGE)]
    for one in random.sample(range(1, len(pages) - 1), 5):
        changed = list(pages)
        changed[one], changed[one + 1] = changed[one + 1], changed[one]
        file.write_bytes(b"".join(changed))
        assert outcome(file, registry) == 4, one


def content(path):
    """Return all that the tables hold, but what may change unnoticed; None if it cannot be read."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            return {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}")))
                    for name in TABLES if name != "sighting"}  # fmt: skip
    except sqlite3.Error:
        return None


def test_yesterday_s_file(registry, file, tmp_path):
    shutil.copy(file, tmp_path / "yesterday.db")
    registry.revoke(registry.beacons()[0].beacon_id, "seized")
    (tmp_path / "yesterday.db").rename(file)
    assert found(registry) == ()  # it was signed for: nobody can tell that there was more
