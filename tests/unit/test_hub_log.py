"""The hub's own log: each thing that is done once in it, and every edit found."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from fanal import anchor, certificate, log_entry, merkle
from fanal.error import FanalError, IntegrityError
from fanal.hub import accounts, actions, enrolment, escalation, hub_log, listeners, sites
from fanal.hub.actions import ActionError
from fanal.hub.hub_log_checkpoint import checkpoint, kept
from fanal.hub.hub_log_proof import prove
from fanal.hub.hub_log_verify import verify
from fanal.hub.store import Store, touch
from fanal.hub.tables import Base, BeaconRow, FleetRow, IncidentRow, LogLeafRow
from fanal.position import Position
from sqlalchemy import select, text

from tests.unit import paper_hub_log
from tests.unit.incident_rows import both, incident, put, store
from tests.unit.paper_beacon import T0, heard
from tests.unit.paper_enrolment import EnrolledFleet, hub_keyring
from tests.unit.paper_fleet import NOW
from tests.unit.paper_hub_log import KEY, PASSWORD, PUBLIC, pin, rehashed, sql
from tests.unit.test_hub_incidents import LOW, Scene

__all__ = ["store"]

WHATS = [
    "log began", "enrolment accepted", "alert first seen", "alert first seen", "acknowledged",
    "assigned", "noted", "closed", "reopened", "closed", "alert first seen", "escalated",
    "escalated", "exported", "account added", "account changed", "password changed",
    "account disabled", "account enabled", "listener enrolled", "listener placed",
    "listener enrolled", "listener forgotten", "site placed", "site placed", "site forgotten",
]  # fmt: skip


@pytest.fixture
def hub(tmp_path):
    with paper_hub_log.lived(tmp_path) as opened:
        yield opened


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.hub.close()


def entries(store):
    return [log_entry.decode(leaf.content) for leaf in hub_log.leaves(store)]


def whats(store):
    return [entry["what"] for entry in entries(store)]


def found(store, *anchors):
    """Return (code, entry) of every finding, without what this computer keeps."""
    return [(one.code, one.entry) for one in examined(store, *anchors).findings]


def examined(store, *anchors):
    return verify(store, PUBLIC, anchors, lambda _: ())


def signed(store, folder, **more):
    return checkpoint(store, KEY, [folder], **more).note


# -- what is entered


def test_everything_that_matters_is_an_entry(hub):
    assert whats(hub) == WHATS
    assert len({entry["salt"] for entry in entries(hub)}) == len(WHATS)
    assert examined(hub).findings == ()


def test_an_entry_says_who_did_what_to_which_alert(hub):
    told = entries(hub)
    first, drill = (one for one in told if one["what"] == "alert first seen" and one["event"] < 3)
    assert (first["kind"], drill["kind"]) == ("ALERT", "DRILL")
    assert (first["incident"], first["who"], first["row"]["state"]) == (1, "hub", "open")
    taken = told[WHATS.index("acknowledged")]
    assert (taken["incident"], taken["who"], taken["row"]["state"]) == (1, "duty", "acknowledged")
    assert taken["row"]["acknowledged_ms"] == taken["at_ms"]
    assert told[WHATS.index("assigned")]["detail"] == "night shift"
    exported = told[WHATS.index("exported")]
    assert (exported["who"], exported["incident"]) == ("duty", 1)


def test_a_note_is_told_by_its_hash(hub):
    whole = b"".join(leaf.content for leaf in hub_log.leaves(hub))
    assert b"on the way" not in whole
    assert PASSWORD.encode() not in whole
    assert b"argon2" not in whole


@both
def test_what_is_done_twice_is_entered_once(store):
    one = put(store, incident())[0]
    for act in (
        lambda: actions.acknowledge(store, one, "duty"),
        lambda: actions.assign(store, one, "duty", "night"),
        lambda: actions.note(store, one, "duty", "on the way"),
        lambda: actions.close(store, one, "duty", "help arrived"),
        lambda: actions.reopen(store, one, "duty", "heard again"),
        lambda: escalation.step(store, [1], store.now_ms() + 10**6),
        lambda: sites.put(store, "depot", Position(1, 2, 3)),
        lambda: listeners.enrol(store, "22" * 32, "gate", "duty"),
        lambda: listeners.place(store, "gate", Position(1, 2, 3)),
        lambda: listeners.forget(store, "22" * 32),
    ):
        before = len(entries(store))
        act()
        assert len(entries(store)) == before + 1
        act()
        assert len(entries(store)) == before + 1


def test_accounts_that_stay_as_they_are_have_no_entry(tmp_path):
    with Store(f"sqlite:///{tmp_path / 'hub.db'}") as store:
        accounts.add(store, "duty", accounts.VIEWER, PASSWORD)
        size = len(entries(store))
        accounts.set_role(store, "duty", accounts.VIEWER)
        accounts.enable(store, "duty")
        with pytest.raises(accounts.AccountError):
            accounts.add(store, "duty", accounts.OFFICER, PASSWORD)
        assert len(entries(store)) == size


def test_an_action_that_is_refused_has_no_entry(hub):
    with pytest.raises(ActionError):
        actions.close(hub, 3, "duty", actions.DRILL_OVER)
    assert whats(hub) == WHATS


def test_a_change_and_its_entry_are_one(hub, monkeypatch):
    """What cannot be entered is not done."""

    def fail(*_):
        raise RuntimeError

    with hub.reading() as session:
        before = hub_log.told(session.get_one(IncidentRow, 3))
    monkeypatch.setattr(hub_log, "append", fail)
    for act in (
        lambda: actions.acknowledge(hub, 3, "duty"),
        lambda: accounts.set_role(hub, "duty", accounts.VIEWER),
        lambda: listeners.forget(hub, "east gate"),
    ):
        with pytest.raises(RuntimeError):
            act()
    monkeypatch.undo()
    with hub.reading() as session:
        assert hub_log.told(session.get_one(IncidentRow, 3)) == before
    assert (whats(hub), found(hub)) == (WHATS, [])


def test_each_event_is_first_seen_once_and_its_signature_verified_once(scene):
    page = scene.beacon.pages(1, 0)
    scene.hear(scene.alert(0), *(heard(one, T0) for one in page[:4]))
    for age_s in (2, 4, 6):
        scene.hear(scene.alert(age_s), by=scene.two)
    assert whats(scene.hub.store) == ["log began", "alert first seen", "signature verified"]


def test_a_replay_is_no_alert_until_a_genuine_one_comes(scene):
    scene.hear(scene.alert(0, event=2))
    scene.hear(scene.alert(0, late_s=3600, event=1))
    scene.hear(scene.alert(0, event=1), received_ms=T0 + 4_000_000)
    told = [(one["what"], one["event"]) for one in entries(scene.hub.store)[1:]]
    assert told[:2] == [("alert first seen", 2), ("replay seen", 1)]
    assert told.count(("alert first seen", 1)) <= 1


def test_a_drill_that_is_an_alert_says_so(scene):
    pin(scene.hub.store)
    drill = paper_hub_log.alert.status_byte(paper_hub_log.alert.HOLD, drill=True)
    scene.hear(scene.alert(0, status=drill))
    actions.acknowledge(scene.hub.store, 1, "duty")
    scene.hear(scene.alert(2))
    assert whats(scene.hub.store)[-2:] == ["reopened", "kind changed"]
    scene.hear(scene.alert(4, status=LOW))
    assert whats(scene.hub.store)[-1] == "kind changed"
    assert found_of(scene) == []


def found_of(scene):
    """Findings but for beacons and listeners, which paper puts in without an entry."""
    return [one for one in examined(scene.hub.store).findings if "istener" not in one.sentence]


def test_an_enrolment_is_entered_with_what_it_revokes(tmp_path):
    fleet, keyring = EnrolledFleet(tmp_path), hub_keyring(tmp_path / "hub")
    first, _ = fleet.add(1), fleet.add(2)
    clock = [round(NOW.timestamp() * 1000)]
    with Store(f"sqlite:///{tmp_path / 'hub' / 'hub.db'}", lambda: clock[0]) as store:
        log_key = keyring.keys().log_key.public_key().public_bytes_raw()
        for hours, revokes in ((0, []), (1, [first]), (2, [])):
            if revokes:
                fleet.registry.revoke(first, "lost")
            file = enrolment.make(fleet.officer, fleet.registry, keyring.request(),
                                  NOW + timedelta(hours=hours))  # fmt: skip
            for _ in range(2):
                enrolment.accept(store, keyring, file.sealed)
            told = entries(store)[-1]
            assert (told["what"], told["beacons"], told["revoked"]) == (
                "enrolment accepted", 2, revokes,
            )  # fmt: skip
        assert whats(store) == ["log began", *["enrolment accepted"] * 3]
        assert verify(store, log_key, (), lambda _: ()).findings == ()
        with store.writing() as session:
            session.get_one(BeaconRow, first).revoked_ms = None
        found = verify(store, log_key, (), lambda _: ()).findings
        assert {(one.code, one.entry) for one in found} == {("table", 2), ("table", 3)}
    fleet.registry.close()


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE beacon SET site = 'elsewhere'", "UPDATE beacon SET place = 'nowhere'",
        "UPDATE beacon SET profile = 'carried'", "UPDATE beacon SET station = 3",
        "UPDATE beacon SET horizon = 9", "UPDATE beacon SET certificate = NULL",
        "UPDATE beacon SET retired_ms = 1", "UPDATE station SET certificate = x'30'",
        "UPDATE beacon SET public_key = zeroblob(32)",
        "UPDATE beacon SET revoked_ms = 1, revoked_reason = 'x'",
        "DELETE FROM beacon", "DELETE FROM station WHERE number = 0",
    ],
)  # fmt: skip
def test_what_an_officer_s_file_said_is_not_changed_unnoticed(tmp_path, edit):
    fleet, keyring = EnrolledFleet(tmp_path), hub_keyring(tmp_path / "hub")
    fleet.add(1)
    file = enrolment.make(fleet.officer, fleet.registry, keyring.request(), NOW)
    fleet.registry.close()
    with Store(f"sqlite:///{tmp_path / 'hub' / 'hub.db'}",
               lambda: round(NOW.timestamp() * 1000)) as store:  # fmt: skip
        log_key = keyring.keys().log_key.public_key().public_bytes_raw()
        enrolment.accept(store, keyring, file.sealed)
        with store.writing() as session:  # as it goes on: not the officer's word
            session.execute(text("UPDATE beacon SET newest_event = 7"))
        assert verify(store, log_key, (), lambda _: ()).findings == ()
        with store.writing() as session:
            assert session.execute(text(edit)).rowcount == 1
        assert "enrolled" in str(verify(store, log_key, (), lambda _: ()).findings)


def test_a_database_of_before_there_was_a_log_gets_one(hub, tmp_path):
    hub.close()
    sql(tmp_path, "DROP TABLE log_leaf; DROP TABLE log_node; DROP TABLE log_checkpoint;")
    with Store(f"sqlite:///{tmp_path / 'hub.db'}") as store:
        told = whats(store)
        assert (told[0], set(told[1:])) == ("log began", {"taken over"})
        assert found(store) == []
        actions.acknowledge(store, 3, "duty")
        assert found(store) == []
    with Store(f"sqlite:///{tmp_path / 'hub.db'}") as store:
        assert whats(store)[-1] == "acknowledged"
    sql(tmp_path, "DELETE FROM action WHERE what = 'noted';")
    with Store(f"sqlite:///{tmp_path / 'hub.db'}") as store:
        assert [code for code, _ in found(store)] == ["table"]


# -- at the same time


@both
def test_many_append_at_once_and_every_entry_has_its_number(store):
    """On PostgreSQL these are as many connections, as those of several workers are."""
    numbers = put(store, *(incident(event) for event in range(1, 25)))
    before, gate = len(entries(store)), threading.Barrier(4)

    def work(mine):
        gate.wait()
        for number in mine:
            actions.acknowledge(store, number, "duty")
            actions.note(store, number, "duty", f"note {number}")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, [numbers[n::4] for n in range(4)]))
    leaves = hub_log.leaves(store)
    assert [leaf.number for leaf in leaves] == list(range(before + 48))
    frontier = merkle.Frontier()
    for leaf in leaves:
        frontier.append(leaf.hash)
    with store.reading() as session:
        assert merkle.root(len(leaves), hub_log.reader(session)) == frontier.root()


@both
def test_two_that_wait_for_each_other_would_never_end(store):
    """One shows and then enters, the other enters and then shows: both finish."""
    first, second = put(store, incident(1), incident(2))
    gate = threading.Barrier(2)

    def act(number, order):
        for _ in range(10):
            gate.wait()
            with store.writing(shows=order) as session:
                row = session.get_one(IncidentRow, number)
                hub_log.enter(session, "kind changed", T0, of=row)
                if not order:
                    touch(session)

    change = store.change()
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(act, (first, second), (True, False)))
    assert store.change() == change + 20
    assert whats(store).count("kind changed") == 20


# -- edits

_LAST = f"(SELECT max(number) FROM log_leaf WHERE number < {1 << 40})"


@pytest.mark.parametrize(
    ("script", "code", "entry"),
    [
        ("UPDATE log_leaf SET content = replace(content, 'duty', 'dutY') WHERE number = 4",
         "edited", 4),
        ("UPDATE log_leaf SET content = CAST(content AS TEXT) || ' ' WHERE number = 4",
         "edited", 4),
        ("UPDATE log_leaf SET hash = zeroblob(32) WHERE number = 9", "edited", 9),
        ("DELETE FROM log_leaf WHERE number = 0", "missing", 0),
        ("DELETE FROM log_leaf WHERE number = 7", "missing", 7),
        ("UPDATE log_leaf SET number = -1 WHERE number = 5; UPDATE log_leaf SET number = 5"
         " WHERE number = 6; UPDATE log_leaf SET number = 6 WHERE number = -1", "nodes", 4),
        ("UPDATE log_leaf SET number = -number - 1 WHERE number >= 8;"
         "UPDATE log_leaf SET number = -number WHERE number < 0;"
         "INSERT INTO log_leaf SELECT 8, content, hash FROM log_leaf WHERE number = 4",
         "nodes", 8),
        (f"DELETE FROM log_leaf WHERE number = {_LAST}", "cut", 25),
        ("UPDATE log_node SET hash = zeroblob(32) WHERE level = 2 AND number = 1", "nodes", 4),
        ("DELETE FROM log_node WHERE level = 1 AND number = 3", "nodes", 6),
        ("INSERT INTO log_node VALUES (9, 9, zeroblob(32))", "cut", 26),
        ("INSERT INTO log_node VALUES (0, 9, zeroblob(32))", "nodes", 26),
        ("UPDATE log_leaf SET number = 99999999 WHERE number = 25", "edited", None),
    ],
)  # fmt: skip
def test_an_edit_of_the_log_is_found_and_where(hub, tmp_path, script, code, entry):
    hub.close()
    sql(tmp_path, script)
    with Store(f"sqlite:///{tmp_path / 'hub.db'}") as store:
        assert (code, entry) in found(store)
        # and whatever was done to it, an alert is still written down
        size = len(hub_log.leaves(store))
        actions.acknowledge(store, 3, "night")
        assert len(hub_log.leaves(store)) == size + 1
        assert found(store) != []


@pytest.mark.parametrize(
    "script",
    [
        "UPDATE incident SET kind = 'DRILL' WHERE id = 1",
        "UPDATE incident SET state = 'closed' WHERE id = 1",
        "UPDATE incident SET state = 'acknowledged', acknowledged_ms = 5 WHERE id = 3",
        "UPDATE incident SET acknowledged_ms = 1 WHERE id = 1",
        "UPDATE incident SET assigned_to = NULL WHERE id = 1",
        "UPDATE incident SET is_replay = 1 WHERE id = 1",
        "UPDATE incident SET may_be_replay = 1 WHERE id = 1",
        "UPDATE incident SET signature = 'signed' WHERE id = 1",
        "UPDATE incident SET escalation = 0 WHERE id = 3",
        "UPDATE incident SET event = 9 WHERE id = 1",
        "UPDATE incident SET kind = x'00' WHERE id = 1",
        "UPDATE incident SET beacon = (SELECT id FROM beacon WHERE id NOT IN"
        " (SELECT beacon FROM incident)) WHERE id = 1",
        "DELETE FROM action WHERE incident = 2; DELETE FROM sighting WHERE incident = 2;"
        " DELETE FROM incident WHERE id = 2",
        "DELETE FROM incident WHERE id = 2",
        "UPDATE action SET who = 'somebody' WHERE what = 'acknowledged'",
        "UPDATE action SET at_ms = at_ms - 60000 WHERE what = 'acknowledged'",
        "UPDATE action SET detail = 'not on the way' WHERE what = 'noted'",
        "UPDATE action SET detail = 'false alarm' WHERE what = 'closed' AND incident = 1",
        "UPDATE action SET what = 'assigned' WHERE what = 'acknowledged'",
        "UPDATE action SET incident = 3 WHERE what = 'noted'",
        "DELETE FROM action WHERE what = 'noted'",
        "INSERT INTO action (incident, at_ms, who, what, detail) SELECT 3, at_ms, who, what,"
        " detail FROM action WHERE what = 'acknowledged'",
        "UPDATE user SET role = 'viewer'",
        "UPDATE user SET is_disabled = 1",
        "INSERT INTO user SELECT 'intruder', role, password, created_ms, is_disabled FROM user",
        "DELETE FROM user",
        "UPDATE listener SET name = 'other' WHERE name = 'east gate'",
        "UPDATE listener SET name = '', enrolled_ms = NULL, enrolled_by = NULL,"
        " fixed_latitude = NULL, fixed_longitude = NULL, fixed_accuracy_m = NULL",
        "UPDATE listener SET enrolled_ms = 1, name = 'x' WHERE enrolled_ms IS NULL",
        "UPDATE listener SET fixed_latitude = 5 WHERE name = 'east gate'",
        "UPDATE listener SET dropped = '{'",
        "DELETE FROM listener WHERE name = 'east gate'",
        "UPDATE site SET latitude = 5",
        "DELETE FROM site",
        "INSERT INTO site VALUES ('gone', 1, 2, 3)",
        "UPDATE fleet SET made_ms = 1",
        "UPDATE fleet SET epoch = 5",
        "UPDATE fleet SET certificate = log_certificate",
        "UPDATE fleet SET log_certificate = x'00'",
        "DELETE FROM fleet",
        "INSERT INTO meta VALUES ('log_epoch', 1)",
        "CREATE TRIGGER t AFTER INSERT ON log_leaf BEGIN DELETE FROM log_leaf; END",
    ],
)  # fmt: skip
def test_an_edit_of_what_the_log_speaks_of_is_found(hub, tmp_path, script):
    hub.close()
    sql(tmp_path, script)
    with Store(f"sqlite:///{tmp_path / 'hub.db'}") as store:
        assert {code for code, _ in found(store)} & {"table", "file"}


def test_a_line_is_what_its_first_entry_says(hub, tmp_path):
    """Whoever edits a timeline could add an entry that agrees, to be signed with the next."""
    number = WHATS.index("acknowledged")
    agrees = {**entries(hub)[number], "who": "somebody"}
    del agrees["row"]
    with hub.writing() as session:
        hub_log.append(session, [log_entry.encode(agrees)])
    assert found(hub) == []
    sql(tmp_path, "UPDATE action SET who = 'somebody' WHERE what = 'acknowledged'")
    assert found(hub) == [("table", number)]


def test_values_that_nest_without_end_are_not_read(hub, tmp_path):
    sql(tmp_path, "UPDATE listener SET dropped = replace(hex(zeroblob(495)), '0', '[')"
                  " || replace(hex(zeroblob(495)), '0', ']')")  # fmt: skip
    assert found(hub) == []


def test_new_incidents_are_counted(hub):
    with hub.reading() as session:
        beacon = session.get_one(IncidentRow, 1).beacon
    put(hub, incident(event=77, beacon=beacon))
    assert [code for code, _ in found(hub)] == ["table"]


def test_whoever_makes_all_hashes_anew_is_found_by_what_was_signed(hub, tmp_path):
    note = signed(hub, tmp_path / "a")
    assert (found(hub), found(hub, note)) == ([], [])
    hub.close()
    sql(tmp_path, "UPDATE log_leaf SET content = replace(content, 'duty', 'dutY') WHERE number=4;"
                  "UPDATE action SET who = 'dutY' WHERE what = 'acknowledged'")  # fmt: skip
    rehashed(tmp_path)
    with Store(f"sqlite:///{tmp_path / 'hub.db'}") as store:
        assert found(store) == [("checkpoint", None)]
        with pytest.raises(IntegrityError) as refused:
            signed(store, tmp_path / "b")
        assert refused.value.code == "rewritten"
    sql(tmp_path, "DELETE FROM log_checkpoint")
    with Store(f"sqlite:///{tmp_path / 'hub.db'}") as store:
        assert found(store) == []
        assert found(store, note) == [("anchor", None)]


def test_a_checkpoint_that_was_edited_is_none(hub, tmp_path):
    note = signed(hub, tmp_path / "a")
    others = [note[:at] + ("x" if note[at] != "x" else "y") + note[at + 1 :]
              for at in range(len(note))]  # fmt: skip
    spoilt = {*others[::2], *(note[:at] for at in range(0, len(note), 4))}
    assert found(hub, *spoilt) == [("anchor", None)] * len(spoilt)


def test_an_older_copy_is_seen_from_outside_and_can_go_on(hub, tmp_path):
    path, folder = tmp_path / "hub.db", tmp_path / "a"
    early = signed(hub, folder)
    hub.close()
    yesterday = path.read_bytes()
    with Store(f"sqlite:///{path}", lambda: T0) as store:
        actions.acknowledge(store, 3, "duty")
        lost = signed(store, folder)
    path.write_bytes(yesterday)
    with Store(f"sqlite:///{path}", lambda: T0) as store:
        assert (found(store), found(store, lost)) == ([], [("cut", 26)])
        with pytest.raises(IntegrityError) as refused:
            signed(store, folder)
        assert (refused.value.code, "--restored" in refused.value.hint) == ("cut", True)
        again = signed(store, folder, is_restored=True)
        assert re.search("/epoch-1-[0-9a-f]{8}$", again.split("\n")[0])
        assert whats(store)[-1] == "restored"
        after = examined(store, early, lost, again)
        assert (after.findings, len(after.remarks)) == ((), 1)
        assert after.remarks[0].startswith("1 entry was lost")
        assert kept(again.split("\n")[0], [folder]) == [lost, again]
        with pytest.raises(FanalError) as nothing:
            signed(store, folder, is_restored=True)
        assert nothing.value.code == "not_restored"
        assert signed(store, folder) == again
    path.write_bytes(yesterday)  # and once more
    with Store(f"sqlite:///{path}", lambda: T0) as store:
        assert ("anchor", None) in found(store, again)
        with pytest.raises(IntegrityError):
            signed(store, folder)
        assert re.search("/epoch-2-[0-9a-f]{8}\n", signed(store, folder, is_restored=True))
        assert examined(store, lost, again).findings == ()


def test_a_copy_put_back_on_two_computers_is_two_logs(hub, tmp_path):
    hub.close()
    path = tmp_path / "hub.db"
    yesterday = path.read_bytes()
    with Store(f"sqlite:///{path}", lambda: T0) as store:
        actions.acknowledge(store, 3, "duty")
        lost = signed(store, tmp_path / "a")
    notes = []
    for computer in ("one", "two"):  # neither knows of the other
        path.write_bytes(yesterday)
        anchor.keep(tmp_path / computer, lost)
        with Store(f"sqlite:///{path}", lambda: T0) as store:
            notes.append(signed(store, tmp_path / computer, is_restored=True))
            actions.acknowledge(store, 3, computer)
            notes.append(signed(store, tmp_path / computer))
    first, _, second, _ = (note.split("\n")[0] for note in notes)
    assert first != second
    with Store(f"sqlite:///{path}", lambda: T0) as store:
        assert found(store, *notes[2:]) == []
        assert found(store, *notes) == [("anchor", None)] * 2
        told = examined(store, notes[0]).findings[0].sentence
        assert first in told
        anchor.keep(tmp_path / "two", notes[1])  # it stands in nobody's way
        actions.note(store, 3, "two", "found")
        assert second in signed(store, tmp_path / "two")


def test_a_hub_that_signs_while_it_is_verified_was_not_cut_off(hub, tmp_path):
    """What it signs for is newer than the moment of which everything else is read."""

    def outside(_):
        actions.note(hub, 1, "duty", "still there")
        return [signed(hub, tmp_path / "a")]

    outcome = verify(hub, PUBLIC, (), outside)
    assert (outcome.findings, outcome.logs[0].size, outcome.anchors) == ((), len(WHATS) + 1, 1)


def test_nobody_can_say_restored_without_the_key(hub, tmp_path):
    lost = signed(hub, tmp_path / "a")
    hub.close()
    sql(tmp_path, "DELETE FROM log_leaf WHERE number > 20; DELETE FROM log_checkpoint;"
                  "INSERT INTO meta VALUES ('log_epoch', 1);")  # fmt: skip
    rehashed(tmp_path)
    with Store(f"sqlite:///{tmp_path / 'hub.db'}") as store:
        with store.writing() as session:
            hub_log.enter(session, hub_log.RESTORED, T0, epoch=1)
        assert ("cut", 21) in found(store, lost)


def test_a_checkpoint_of_another_hub_is_none(hub, tmp_path):
    (tmp_path / "other").mkdir()
    with paper_hub_log.lived(tmp_path / "other") as other:
        sql(tmp_path / "other", "DELETE FROM fleet")
        pin(other, fleet_key=paper_hub_log.KEY)
        note = signed(other, tmp_path / "b")
    assert found(hub, note) == [("anchor", None)]
    assert found(hub, "no note") == [("anchor", None)]


# -- signing and proving


def test_a_hub_without_a_fleet_has_nobody_to_sign_for_it(tmp_path):
    with Store(f"sqlite:///{tmp_path / 'hub.db'}", lambda: T0) as store:
        with pytest.raises(FanalError) as refused:
            signed(store, tmp_path / "a")
        assert refused.value.code == "no_fleet"
        assert examined(store).findings == ()
        pin(store)
        signed(store, tmp_path / "a")
        assert examined(store).logs[0].signed == 2


def test_signing_twice_is_signing_once(hub, tmp_path):
    first = checkpoint(hub, KEY, [tmp_path / "a"])
    again = checkpoint(hub, KEY, [tmp_path / "a"])
    assert (first.changed, again.changed, first.note) == (True, False, again.note)
    assert (first.size, examined(hub, first.note).remarks) == (len(WHATS), ())
    other = checkpoint(hub, KEY, [tmp_path / "b"])  # another worker keeps its own
    assert anchor.newest(tmp_path / "b", other.origin) == first.note


def test_another_key_signs_nothing(hub, tmp_path):
    with pytest.raises(IntegrityError) as refused:
        checkpoint(hub, paper_hub_log.FLEET_KEY, [tmp_path / "a"])
    assert refused.value.code == "other_hub"


@pytest.mark.parametrize("entry", [0, 1, 12, len(WHATS) - 1])
def test_an_entry_is_proved(hub, tmp_path, entry):
    with pytest.raises(FanalError) as unsigned:
        prove(hub, entry)
    assert unsigned.value.code == "not_signed"
    signed(hub, tmp_path / "a")
    proof = prove(hub, entry)
    assert log_entry.decode(proof.content)["what"] == WHATS[entry]
    assert proof.chain.count("BEGIN CERTIFICATE") == 2
    with hub.writing() as session:
        session.scalars(select(LogLeafRow).where(LogLeafRow.number == entry)).one().content = b"{}"
    with pytest.raises(IntegrityError):
        prove(hub, entry)


def test_a_log_key_that_certified_itself_proves_nothing(hub, tmp_path):
    signed(hub, tmp_path / "a")
    fleet = certificate.for_fleet(KEY, NOW)
    made = certificate.to_der(certificate.for_log(PUBLIC, fleet, KEY, NOW))
    with hub.writing() as session:
        session.get_one(FleetRow, 1).log_certificate = made
    with pytest.raises(IntegrityError) as refused:
        prove(hub, 3)
    assert refused.value.code == "chain"


def test_a_checkpoint_that_says_another_size_proves_nothing(hub, tmp_path):
    signed(hub, tmp_path / "a")
    actions.note(hub, 1, "duty", "still there")
    with pytest.raises(FanalError) as unsigned:
        prove(hub, len(WHATS))
    assert unsigned.value.code == "not_signed"
    sql(tmp_path, "UPDATE log_checkpoint SET size = 27")
    with pytest.raises(IntegrityError) as refused:
        prove(hub, len(WHATS))
    assert (refused.value.code, "hub log verify" in refused.value.hint) == ("log", True)


@pytest.mark.parametrize("entry", [-1, len(WHATS), 1 << 70])
def test_an_entry_that_is_not_there_is_not_proved(hub, entry):
    with pytest.raises(FanalError) as refused:
        prove(hub, entry)
    assert refused.value.exit_code == 2


def test_the_tables_are_there(hub):
    assert {"log_leaf", "log_node", "log_checkpoint"} <= set(Base.metadata.tables)


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
def test_a_log_on_postgresql_is_verified_signed_and_proved(store, tmp_path):
    """Two hundred entries in one transaction, then one at a time, by a server's own rules."""
    pin(store)
    with store.writing() as session:
        for number in range(200):
            hub_log.enter(session, "exported", T0, detail=str(number))
    (one,) = put(store, incident())
    actions.note(store, one, "duty", "on the way")
    note = signed(store, tmp_path / "a")
    outcome = examined(store, note)
    assert [f.sentence for f in outcome.findings] == []
    assert outcome.logs[0].signed == 203
    assert prove(store, 150).size == 203
    with store.writing() as session:
        session.scalars(select(LogLeafRow).where(LogLeafRow.number == 150)).one().content = b"{}"
    assert ("edited", 150) in found(store, note)


@pytest.mark.parametrize(
    ("kind", "script"),
    [
        ("trigger", "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL;"
         " END'; CREATE TRIGGER t BEFORE INSERT ON action FOR EACH ROW EXECUTE FUNCTION f()"),
        ("rule", "CREATE RULE r AS ON INSERT TO log_leaf DO INSTEAD NOTHING"),
        ("rule", "ALTER TABLE site RENAME TO other; CREATE VIEW site AS SELECT * FROM other"),
        ("policy", "CREATE POLICY p ON incident USING (kind <> 'ALERT')"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("store", ["postgres"], indirect=True)
def test_what_was_put_between_program_and_tables_is_found_on_postgresql(store, kind, script):
    assert found(store) == []
    with store.engine.begin() as connection:
        connection.exec_driver_sql(script)
    told = [(one.code, one.sentence) for one in examined(store).findings]
    assert ("file", f"There is a {kind} that Fanal did not make") == (
        told[0][0], told[0][1].partition(":")[0],
    )  # fmt: skip
