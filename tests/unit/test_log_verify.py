"""Edits of every kind, by SQL and by a byte editor: found, and where."""

import random
import re
import shutil
import sqlite3
from contextlib import closing, suppress

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal import certificate, log_entry, merkle
from fanal.checkpoint import Checkpoint, sign_checkpoint
from fanal.error import FanalError, IntegrityError
from fanal.log_checkpoint import checkpoint, checkpoint_or_why
from fanal.log_proof import prove
from fanal.log_verify import verify
from fanal.registry import Registry
from fanal.schema import Base
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import paper_log
from tests.unit.paper_fleet import NOW, PaperFleet
from tests.unit.paper_log import id_of, rehashed, signed, sql


@pytest.fixture
def fleet(tmp_path):
    fleet = paper_log.lived(tmp_path)
    yield fleet
    fleet.registry.close()


def entries(fleet):
    return [log_entry.decode(leaf.content) for leaf in fleet.registry.leaves()]


def found(fleet, *anchors):
    return [(f.code, f.entry) for f in verify(fleet.registry, anchors).findings]


def test_everything_that_matters_is_an_entry(fleet):
    told = [(e["what"], e.get("beacon", e.get("station"))) for e in entries(fleet)]
    first, second, third = (id_of(seed) for seed in (1, 2, 3))
    assert told == [
        ("log began", None), ("station added", 0), ("station added", 1),
        ("reserved", first), ("provisioned", first), ("reserved", second),
        ("provisioned", second), ("reserved", third), ("provisioned", third),
        ("verified", first), ("moved", first), ("alert first seen", first),
        ("revoked", second), ("retired", second), ("retired", third), ("station revoked", 1),
    ]  # fmt: skip
    assert len({e["salt"] for e in entries(fleet)}) == len(told)


def test_a_whole_one_is_whole(fleet, tmp_path):
    size = fleet.registry.log_size()
    before = verify(fleet.registry)
    assert (before.findings, before.logs[0].signed, len(before.remarks)) == ((), 0, 1)
    anchor = signed(fleet, tmp_path)
    after = verify(fleet.registry, [anchor])
    assert (after.findings, after.remarks, after.anchors) == ((), (), 1)
    assert (after.logs[0].size, after.logs[0].signed) == (size, size)


def test_a_change_and_its_entry_are_one(fleet, monkeypatch):
    """What cannot be entered is not done."""
    before, size = fleet.registry.beacons(), fleet.registry.log_size()

    def fail(*_, **__):
        raise RuntimeError

    monkeypatch.setattr(fleet.registry, "enter", fail)
    for act in (
        lambda: fleet.registry.revoke(id_of(1), "lost"),
        lambda: fleet.registry.moved(id_of(1), "a", "b"),
        lambda: fleet.registry.raise_epoch(),
        lambda: fleet.registry.revoke_station(0, "lost"),
        lambda: paper_log.provision(fleet, 9),
        lambda: fleet.registry.record_sighting(id_of(1), 9, slot=0, seq=0, t_ms=9, verdict="fresh"),
    ):
        with pytest.raises(RuntimeError):
            act()
    monkeypatch.undo()
    assert (fleet.registry.beacons(), fleet.registry.log_size()) == (before, size)
    assert found(fleet) == []


EDITS = {
    "an entry changed": (
        "UPDATE log_leaf SET content = replace(content, 'stolen', 'broken') WHERE number = 12;",
        ("edited", 12),
    ),
    "its hash": ("UPDATE log_leaf SET hash = zeroblob(32) WHERE number = 5;", ("edited", 5)),
    "one deleted": ("DELETE FROM log_leaf WHERE number = 6;", ("missing", 6)),
    "the first deleted": ("DELETE FROM log_leaf WHERE number = 0;", ("missing", 0)),
    "the end cut off": ("DELETE FROM log_leaf WHERE number >= 12;", ("cut", 12)),
    "the end and its hashes cut off": (
        "DELETE FROM log_leaf WHERE number >= 12;"
        "DELETE FROM log_node WHERE (number + 1) << level > 12;",
        ("table", 6),
    ),
    "two exchanged": (
        "UPDATE log_leaf SET number = -1 WHERE number = 5;"
        "UPDATE log_leaf SET number = 5 WHERE number = 7;"
        "UPDATE log_leaf SET number = 7 WHERE number = -1;",
        ("nodes", 4),
    ),
    "one put in": (
        "INSERT INTO log_leaf SELECT '', 16, content, hash FROM log_leaf WHERE number = 3;"
        "UPDATE log_leaf SET number = number + 100 WHERE number >= 8;"
        "UPDATE log_leaf SET number = number - 99 WHERE number >= 108 AND number < 116;"
        "UPDATE log_leaf SET number = 8 WHERE number = 116;",
        ("nodes", 8),
    ),
    "no JSON": (
        "UPDATE log_leaf SET content = x'00' WHERE number = 4;", ("unreadable", 4),
    ),
    "a number below zero": ("UPDATE log_leaf SET number = -3 WHERE number = 15;", ("edited", None)),
    "a hash over many": (
        "UPDATE log_node SET hash = zeroblob(32) WHERE level = 2 AND number = 1;", ("nodes", 4),
    ),
    "a hash taken out": ("DELETE FROM log_node WHERE level = 1 AND number = 3;", ("nodes", 6)),
    "a hash put in": ("INSERT INTO log_node VALUES ('', 1, -2, zeroblob(32));", ("nodes", 16)),
    "a place": ("UPDATE beacon SET place = 'attic' WHERE site = 'shelter-3';", ("table", 11)),
    "a state": ("UPDATE beacon SET state = 'verified' WHERE state = 'retired';", ("table", 13)),
    "an event": ("UPDATE beacon SET newest_event = 2 WHERE newest_event = 3;", ("table", 11)),
    "a revocation undone": ("DELETE FROM revocation;", ("table", 13)),
    "its reason": ("UPDATE revocation SET reason = 'x';", ("table", 13)),
    "a certificate": ("UPDATE beacon SET certificate = x'00' WHERE site = 'shelter-3';",
                      ("table", 11)),
    "a station's revocation": ("DELETE FROM station_revocation;", ("table", 15)),
    "the epoch": ("UPDATE fleet SET epoch = 1;", ("table", 0)),
    "history changed": ("UPDATE custody SET detail = 'x' WHERE id = 2;", ("table", 4)),
    "history taken out": ("DELETE FROM custody WHERE id = 3;", ("table", 5)),
    "history put in": (
        "INSERT INTO custody SELECT 99, beacon, at_ms, what, detail FROM custody WHERE id = 1;",
        ("table", None),
    ),
    "a beacon taken out": ("DELETE FROM sighting; DELETE FROM custody; DELETE FROM revocation;"
                           "DELETE FROM beacon;", ("table", 11)),
    "a beacon put in": (
        "INSERT INTO beacon SELECT 'ZZZZZZZZ', zeroblob(32), NULL, chip, station, state,"
        " certificate, site, place, profile, settings, newest_event, first_ms, last_ms, horizon"
        " FROM beacon LIMIT 1;",
        ("table", None),
    ),
    "a checkpoint": ("UPDATE log_checkpoint SET note = replace(note, '16', '15');",
                     ("checkpoint", None)),
    "a checkpoint of another size": ("UPDATE log_checkpoint SET size = 15;", ("checkpoint", None)),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_by_sql_is_found(fleet, tmp_path, edit):
    signed(fleet, tmp_path)
    assert fleet.registry.log_size() == 16
    script, where = EDITS[edit]
    sql(fleet, script)
    assert where in found(fleet)


FORGERIES = {
    "changed": "UPDATE log_leaf SET content = replace(content, 'stolen', 'mislaid');"
    "UPDATE revocation SET reason = 'mislaid'; UPDATE custody SET detail = 'mislaid'"
    " WHERE detail = 'stolen';",
    "taken out": "DELETE FROM log_leaf WHERE number = 10;",
    "exchanged": "UPDATE log_leaf SET number = -1 WHERE number = 9;"
    "UPDATE log_leaf SET number = 9 WHERE number = 10;"
    "UPDATE log_leaf SET number = 10 WHERE number = -1;",
    "cut off": "DELETE FROM log_leaf WHERE number >= 11;",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forger_who_makes_all_hashes_anew_is_found_by_a_checkpoint(fleet, tmp_path, forgery):
    signed(fleet, tmp_path)
    sql(fleet, FORGERIES[forgery])
    rehashed(fleet)
    assert {code for code, _ in found(fleet)} & {"checkpoint", "cut"}


def test_where_a_forgery_is_can_be_told_between_checkpoints(tmp_path):
    fleet = PaperFleet(tmp_path)
    paper_log.provision(fleet, 1)
    signed(fleet, tmp_path)
    first = fleet.registry.log_size()
    fleet.registry.moved(id_of(1), "shelter-3", "attic")
    signed(fleet, tmp_path)
    sql(fleet, "UPDATE log_leaf SET content = replace(content, 'attic', 'cella');"
               "UPDATE beacon SET place = 'cella';"
               "UPDATE custody SET detail = replace(detail, 'attic', 'cella');")  # fmt: skip
    rehashed(fleet)
    findings = verify(fleet.registry).findings
    assert [f.code for f in findings] == ["checkpoint"]
    assert f"from entry {first} to {first}" in findings[0].sentence
    fleet.registry.close()


def test_an_older_copy_is_seen_only_by_an_anchor(fleet, tmp_path):
    signed(fleet, tmp_path)
    copy = tmp_path / "yesterday.db"
    shutil.copy(fleet.path, copy)
    fleet.registry.revoke(id_of(1), "lost")
    anchor = signed(fleet, tmp_path)
    with Registry(copy) as older:
        assert verify(older).findings == ()
        assert [f.code for f in verify(older, [anchor]).findings] == ["cut"]
        with pytest.raises(IntegrityError) as caught:
            checkpoint(older, fleet.station, tmp_path / "anchors")
        assert caught.value.code == "cut"


def test_an_older_copy_that_goes_on_is_another_log(fleet, tmp_path):
    copy = tmp_path / "yesterday.db"
    shutil.copy(fleet.path, copy)
    fleet.registry.revoke(id_of(1), "lost")
    anchor = signed(fleet, tmp_path)
    with Registry(copy) as older:
        older.moved(id_of(1), "elsewhere", "")
        assert [f.code for f in verify(older, [anchor]).findings] == ["anchor"]
        with pytest.raises(IntegrityError) as caught:
            checkpoint(older, fleet.station, tmp_path / "anchors")
        assert caught.value.code == "rewritten"


def test_a_restored_registry_says_so_and_somebody_signs_for_it(fleet, tmp_path):
    copy = tmp_path / "backup.db"
    shutil.copy(fleet.path, copy)
    fleet.registry.revoke(id_of(1), "lost")
    anchor = signed(fleet, tmp_path)
    with Registry(copy) as restored:
        restored.raise_epoch()
        assert [f.code for f in verify(restored, [anchor]).findings] == ["cut"]
        with pytest.raises(IntegrityError) as caught:
            checkpoint(restored, fleet.station, tmp_path / "anchors")
        assert caught.value.code == "cut"
        done = checkpoint(restored, fleet.station, tmp_path / "anchors", is_restored=True)
        assert re.search("/station-0/epoch-1-[0-9a-f]{8}$", done.origin)
        after = verify(restored, [anchor, done.note])
        assert (after.findings, len(after.remarks)) == ((), 1)


def test_what_was_signed_before_a_restore_is_held_against_it(fleet, tmp_path):
    """The restore itself has to be signed for, not only all that was there before."""
    early, copy = signed(fleet, tmp_path), tmp_path / "backup.db"
    shutil.copy(fleet.path, copy)
    fleet.registry.revoke(id_of(1), "lost")
    lost = signed(fleet, tmp_path)
    with Registry(copy) as restored:
        restored.raise_epoch()
        assert restored.unsigned() == 2  # of the fleet, and of its beacon
        assert [f.code for f in verify(restored, [early, lost]).findings] == ["cut"]
        checkpoint(restored, fleet.station, tmp_path / "anchors", is_restored=True)
        after = verify(restored, [early, lost])
        assert after.findings == ()
        assert after.remarks == (
            "1 entry was lost when the registry was restored from a backup (entry 16).",
        )


def test_two_restored_copies_are_told_apart_in_words(fleet, tmp_path):
    signed(fleet, tmp_path)
    copies = [tmp_path / "one.db", tmp_path / "two.db"]
    notes = []
    for copy in copies:
        shutil.copy(fleet.path, copy)
        with Registry(copy) as restored:
            restored.raise_epoch()
            notes.append(checkpoint(restored, fleet.station, tmp_path / copy.stem).note)
    with Registry(copies[0]) as restored:
        assert verify(restored, notes[:1]).findings == ()
        (finding,) = verify(restored, notes).findings
    assert (finding.code, "goes on beside this one" in finding.sentence) == ("anchor", True)
    (finding,) = verify(fleet.registry, notes[:1]).findings
    assert (finding.code, "signed after a restore" in finding.sentence) == ("anchor", True)


def test_a_station_that_certified_itself_signs_for_nothing(fleet, tmp_path):
    """All of it made anew by somebody with a key of his own: but the fleet did not certify it."""
    signed(fleet, tmp_path)
    stranger = Ed25519PrivateKey.generate()
    made = certificate.for_station(
        0, stranger.public_key(), certificate.for_fleet(stranger, NOW), stranger, NOW
    )
    before = log_entry.digest(fleet.registry.station_certificate(0))
    der = certificate.to_der(made)
    sql(fleet, f"UPDATE station SET certificate = x'{der.hex()}' WHERE number = 0;"
               f"UPDATE log_leaf SET content = CAST(replace(content, '{before}',"
               f" '{log_entry.digest(der)}') AS BLOB); DELETE FROM log_checkpoint;")  # fmt: skip
    rehashed(fleet)
    assert found(fleet) == []  # so far nobody signed for it
    origin, size, root = fleet.registry.head()
    note = sign_checkpoint(Checkpoint(origin, size, root), stranger)
    fleet.registry.keep_checkpoint(origin, size, note)
    assert found(fleet) == [("checkpoint", None)]
    with pytest.raises(IntegrityError):
        prove(fleet.registry, 3)


def test_an_entry_that_came_after_the_checkpoint_is_not_proved(fleet, tmp_path):
    signed(fleet, tmp_path)
    fleet.registry.moved(id_of(1), "shelter-3", "attic")
    assert prove(fleet.registry, 15).size == 16
    with pytest.raises(FanalError) as caught:
        prove(fleet.registry, 16)
    assert caught.value.code == "not_signed"


def test_an_event_of_which_only_replays_were_heard_is_no_entry(fleet):
    fleet.registry.record_sighting(id_of(1), 2, slot=0, seq=0, t_ms=9, verdict="replay")
    assert (fleet.registry.log_size(), found(fleet)) == (16, [])


def test_an_older_copy_does_not_become_a_restored_one_by_itself(fleet, tmp_path):
    """Whoever copies yesterday's file back can also write that it was restored."""
    copy = tmp_path / "yesterday.db"
    shutil.copy(fleet.path, copy)
    fleet.registry.revoke(id_of(1), "lost")
    signed(fleet, tmp_path)
    with Registry(copy) as older:
        older.raise_epoch()
        assert "not signed" in checkpoint_or_why(older, fleet.station, tmp_path / "anchors")
        assert older.checkpoints() == []


def test_hashes_that_lead_elsewhere_are_not_signed_for(fleet, tmp_path):
    """The hash over all of a tree says another thing than the one over its signed half."""
    signed(fleet, tmp_path)
    for number in range(16):
        fleet.registry.moved(id_of(1), "shelter-3", f"room {number}")
    sql(fleet, "UPDATE log_node SET hash = zeroblob(32) WHERE level = 5;")
    with pytest.raises(IntegrityError) as caught:
        signed(fleet, tmp_path)
    assert caught.value.code == "rewritten"


def test_an_entry_that_is_not_what_its_hash_says_is_not_signed_for(fleet, tmp_path):
    signed(fleet, tmp_path)
    fleet.registry.moved(id_of(1), "shelter-3", "attic")
    sql(fleet, "UPDATE log_leaf SET content = x'7b7d' WHERE number = 16;")
    with pytest.raises(IntegrityError) as caught:
        signed(fleet, tmp_path)
    assert caught.value.code == "rewritten"


def test_what_was_altered_is_not_signed_for_the_first_time(fleet, tmp_path):
    sql(fleet, "UPDATE beacon SET place = 'attic';")
    with pytest.raises(IntegrityError):
        signed(fleet, tmp_path)
    assert fleet.registry.checkpoints() == []


def test_an_alert_that_is_taken_for_a_replay_later(fleet):
    """That a verdict changes is in the log too: else it was changed behind the program's back."""
    first = id_of(1)
    fleet.registry.record_sighting(first, 9, slot=0, seq=5, t_ms=9, verdict="fresh")
    fleet.registry.record_sighting(
        first, 9, slot=0, seq=1, t_ms=10, verdict="fresh", left=[(9, 0, 5)]
    )
    assert found(fleet) == []
    sql(fleet, "UPDATE sighting SET verdict = 'replay' WHERE event = 3;")
    assert found(fleet) == [("table", 11)]


def test_an_anchor_of_somebody_else_proves_nothing(fleet, tmp_path):
    other = PaperFleet(tmp_path, 40)
    foreign = signed(other, tmp_path / "other")
    other.registry.close()
    assert found(fleet, foreign) == [("anchor", None)]
    mine = signed(fleet, tmp_path)
    assert found(fleet, mine.replace("station-0", "station-1")) == [("anchor", None)]
    assert found(fleet, "nonsense") == [("anchor", None)]


def test_a_registry_of_another_station_is_not_signed_for(tmp_path):
    fleet = PaperFleet(tmp_path)
    sql(fleet, "UPDATE fleet SET station = 1;")
    with pytest.raises(FanalError) as caught:
        signed(fleet, tmp_path)
    assert caught.value.code == "other_station"
    fleet.registry.close()


def test_an_alert_is_written_down_whatever_was_done_to_the_log(fleet):
    sql(fleet, "DELETE FROM log_node; DELETE FROM log_leaf WHERE number < 14;")
    fleet.registry.record_sighting(id_of(1), 9, slot=0, seq=0, t_ms=9, verdict="fresh")
    assert fleet.registry.find(id_of(1)).newest_event == 9
    assert ("missing", 3) in found(fleet)


@pytest.mark.parametrize("number", [99_999_999, 2**62 - 1, 2**63 - 1, -5])
def test_an_entry_with_a_number_that_no_log_has_holds_nothing_up(fleet, tmp_path, number):
    signed(fleet, tmp_path)
    sql(fleet, f"UPDATE log_leaf SET number = {number} WHERE number = 15;")
    assert ("edited", None) in found(fleet)
    fleet.registry.record_sighting(id_of(1), 9, slot=0, seq=0, t_ms=9, verdict="fresh")
    assert fleet.registry.find(id_of(1)).newest_event == 9
    assert checkpoint_or_why(fleet.registry, fleet.station, tmp_path / "anchors")
    assert ("edited", None) in found(fleet)


def test_a_gap_in_what_is_new_is_not_signed_for(fleet, tmp_path):
    """Not even if the hashes are those of what is left, the last of it counted twice."""
    signed(fleet, tmp_path)
    for number in range(4):
        fleet.registry.moved(id_of(1), "shelter-3", f"room {number}")
    first, _, third, last = (leaf.hash for leaf in fleet.registry.leaves(16))
    left, right = merkle.node_hash(first, third), merkle.node_hash(last, last)
    sql(fleet, "DELETE FROM log_leaf WHERE number = 17; DELETE FROM log_node WHERE level = 2 AND"
               f" number = 4; UPDATE log_node SET hash = x'{left.hex()}' WHERE level = 1 AND number"
               f" = 8; UPDATE log_node SET hash = x'{right.hex()}' WHERE level = 1 AND number = 9;"
        )  # fmt: skip
    with pytest.raises(IntegrityError) as caught:
        signed(fleet, tmp_path)
    assert caught.value.code == "rewritten"


def test_a_value_of_any_other_kind_anywhere(tmp_path):
    """Of every column, one value made text, a number, bytes or nothing: found, or no registry."""
    fleet = paper_log.lived(tmp_path)
    signed(fleet, tmp_path)
    fleet.registry.close()
    whole = fleet.path.read_bytes()
    columns = [c for t in Base.metadata.sorted_tables if t.name != "sighting" for c in t.columns]
    kinds = ("'x'", "7", "x'00'", "-1", "NULL", "1.5")
    found = 0
    for column, value in random.sample([(c, k) for c in columns for k in kinds], 70):
        table = column.table.name
        fleet.path.write_bytes(whole)
        with (
            closing(sqlite3.connect(fleet.path)) as connection,
            suppress(sqlite3.IntegrityError),
        ):
            connection.executescript(
                "PRAGMA ignore_check_constraints = ON; PRAGMA synchronous = OFF;"
                f"UPDATE OR IGNORE {table} SET {column.name} = {value}"
                f" WHERE rowid = (SELECT max(rowid) FROM {table});"
            )
        if fleet.path.read_bytes() == whole:
            continue  # there is no such row, or it must not be
        try:
            Registry(fleet.path).close()  # which looks at whose file it is
            assert verify(fleet.registry).findings, (table, column.name, value)
        except FanalError:
            pass
        fleet.registry.close()
        found += 1
    assert found > 10


def test_a_byte_editor(fleet, tmp_path):
    """Each byte that lies in an entry or a hash of the log, changed: found, or no registry."""
    signed(fleet, tmp_path)
    fleet.registry.close()
    whole = fleet.path.read_bytes()
    parts = [leaf for row in rows(fleet.path) for leaf in row]
    places = [whole.find(part) + at for part in parts for at in range(0, len(part), 7)]
    assert all(place >= 0 for place in places)
    random.shuffle(places)
    for place in places[:50]:
        changed = bytearray(whole)
        changed[place] ^= 1 << random.randrange(8)
        fleet.path.write_bytes(changed)
        assert verify(fleet.registry).findings, place
        fleet.registry.close()  # nothing is remembered of that file
    fleet.path.write_bytes(whole)
    assert verify(fleet.registry).findings == ()


def rows(path):
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT content, hash FROM log_leaf").fetchall()
    finally:
        connection.close()


@given(st.binary(max_size=100))
def test_any_bytes_are_no_entry(content):
    with pytest.raises(IntegrityError):
        log_entry.decode(content)


@pytest.mark.parametrize(
    "content",
    [
        b"{}", b"[]", b'{"at_ms":1, "what":"x"}', b'{"what":"x","at_ms":1}', b"[" * 100_000,
        b'{"at_ms":true,"what":"x"}', b'{"at_ms":1,"what":2}', b'{"at_ms":1,"row":1,"what":"x"}',
        b'{"at_ms":1,"at_ms":1,"what":"x"}', b'{"at_ms":1,"what":"\xc3\xa9"}', b'{"at_ms":NaN}',
        b'{"at_ms":1,"detail":3,"what":"x"}',
    ],
)  # fmt: skip
def test_what_is_almost_an_entry(content):
    with pytest.raises(IntegrityError):
        log_entry.decode(content)
