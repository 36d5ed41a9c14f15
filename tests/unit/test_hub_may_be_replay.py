"""After a restore a hub marks what may be a replay: it alarms as ever, and nothing moves back."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta

import pyrage
import pytest
from click.testing import CliRunner
from fanal.cli import main
from fanal.cli.hub_enrol import _say_accepted
from fanal.envelope import Opener
from fanal.error import EnvironmentFault, IntegrityError
from fanal.hub import enrolment, escalation, export, message, view
from fanal.hub.inbox import Inbox, Incoming, Taken
from fanal.hub.keys import open_anchor
from fanal.hub.resolving import Resolving
from fanal.hub.store import Store
from fanal.hub.tables import (
    BeaconRow,
    FleetRow,
    InboxRow,
    IncidentRow,
    MetaRow,
    NoticeRow,
)
from fanal.registry import Registry
from sqlalchemy import delete, inspect, select, text

from tests.unit.incident_rows import (
    BEACON,
    Clock,
    beacon,
    both,
    incident,
    paper_store,
    put,
    sighting,
    store,
)
from tests.unit.paper_beacon import PaperBeacon, heard
from tests.unit.paper_enrolment import EnrolledFleet, hub_keyring
from tests.unit.paper_fleet import NOW
from tests.unit.paper_incidents import a_situation
from tests.unit.paper_listener import PaperListener
from tests.unit.paper_web import PaperWeb, text_of
from tests.unit.test_hub_cap import facts, made, parsed, value
from tests.unit.test_hub_notices import DESK, MAIL, NIGHT, XML, changed, outbox, queue

__all__ = ["store"]

MARK = "may be a replay"
NOW_MS = round(NOW.timestamp() * 1000)
HOUR_MS = 3600_000
NEW_COLUMNS = (("beacon", "horizon"), ("fleet", "epoch"), ("incident", "may_be_replay"))


class Office:
    """A fleet on paper, and a hub of it that resolves what its listener hears."""

    def __init__(self, folder):
        self.fleet = EnrolledFleet(folder)
        self.names = [self.fleet.add(number) for number in (1, 2)]
        self.name = self.names[0]
        self.beacons = [PaperBeacon(number, self.fleet.station.root) for number in (1, 2)]
        self.now_ms, self.files = NOW_MS, 0
        self.folder, self.keyring = folder, hub_keyring(folder / "hub")
        self.store = Store(f"sqlite:///{folder / 'hub' / 'hub.db'}", lambda: self.now_ms)
        self.ear = PaperListener(1, Opener(self.fleet.officer.sealing).recipient, NOW_MS - HOUR_MS)
        self.told: list[tuple[int, str]] = []

    def close(self):
        self.store.close()
        self.fleet.registry.close()

    def file(self, registry=None, change=None):
        """The officer's file of a registry, each an hour newer than the one before.

        change: what to do to its content before it is signed."""
        self.files += 1
        at = NOW + timedelta(minutes=self.files)
        made_of = registry or self.fleet.registry
        sealed = enrolment.make(self.fleet.officer, made_of, self.keyring.request(), at).sealed
        if change is None:
            return sealed
        content = json.loads(self.keyring.open(sealed)[64:])
        change(content)
        written = json.dumps(content).encode()
        signature = self.fleet.officer.signing_key.sign(b"fanal/1 enrolment" + written)
        recipient = pyrage.x25519.Recipient.from_str(self.keyring.request().recipient)
        return pyrage.encrypt(signature + written, [recipient])

    def accept(self, registry=None, change=None):
        return enrolment.accept(self.store, self.keyring, self.file(registry, change))

    def copy(self, name):
        """A copy of the registry as it is now, as somebody would put it aside."""
        paths = self.fleet.path, self.folder / name
        with closing(sqlite3.connect(paths[0])) as file, closing(sqlite3.connect(paths[1])) as copy:
            file.backup(copy)
        return Registry(self.folder / name, now_ms=self.fleet.now_ms)

    def beacon(self, name=None):
        with self.store.reading() as session:
            row = session.get_one(BeaconRow, name or self.name)
            return {c.name: getattr(row, c.name) for c in BeaconRow.__table__.columns}

    def worker(self, name="one"):
        return Resolving(
            self.store, self.keyring.keys(), name, patience_ms=0,
            changed=lambda _, row, why: self.told.append((row.event, why)),
        )  # fmt: skip

    def hear(self, *events, by=None, at_s=0, age_s=0, number=0, kind=None):
        """Let the hub hear an alert of each event; at_s: seconds from now on."""
        self.now_ms = NOW_MS + 1000 * at_s
        data = self.ear.heard(*(
            heard(self.beacons[number].alert(event, age_s, **(kind or {})), self.now_ms)
            for event in events
        ))  # fmt: skip
        (answer,) = Inbox(self.store, Opener(self.fleet.officer.sealing)).take(
            [Incoming(data, "", self.now_ms)]
        )
        assert isinstance(answer, Taken)
        worker = by or self.worker()
        # one that had to learn first that the turn was another's has done nothing yet
        while worker.step() or worker.has_more or self.waits():
            pass

    def waits(self):
        """Whether something is not resolved yet."""
        with self.store.reading() as session:
            return session.scalars(select(InboxRow.id).limit(1)).first() is not None

    def marks(self):
        """By beacon and event: whether the incident is marked."""
        found = view.incidents(self.store).items
        return {(one.beacon, one.event): one.may_be_replay for one in found}


@pytest.fixture
def office(tmp_path):
    office = Office(tmp_path)
    yield office
    office.close()


def never_back(before, after):
    """Assert that nothing of a beacon moved back."""
    for name in ("newest_event", "anchor_event"):
        assert after[name] >= before[name]
    assert (after["horizon"] or 0) >= (before["horizon"] or 0)
    if before["revoked_ms"] is not None:
        assert after["revoked_reason"] == before["revoked_reason"]


# -- what the file says


def test_only_a_beacon_that_has_a_horizon_has_one_in_the_file(office):
    content = json.loads(office.keyring.open(office.file())[64:])
    assert content["epoch"] == 0
    assert all("horizon" not in one for one in content["beacons"])
    office.fleet.heard(office.name, 5)
    office.fleet.registry.raise_epoch()
    content = json.loads(office.keyring.open(office.file())[64:])
    assert content["epoch"] == 1
    assert [one.get("horizon") for one in content["beacons"]] == [5, None]


def as_before(content):
    """What a Fanal wrote that knew of no horizon."""
    del content["epoch"]
    for one in content["beacons"]:
        one.pop("horizon", None)


def test_a_file_of_before_is_taken_and_says_nothing(office):
    office.fleet.heard(office.name, 5)
    office.fleet.registry.raise_epoch({office.name: 6})
    done = office.accept(change=as_before)
    assert (done.added, done.is_outdated) == (2, False)
    assert office.beacon()["horizon"] == 5  # which this hub did not hear
    office.accept()
    assert office.beacon()["horizon"] == 6
    assert office.accept(change=as_before).is_outdated
    assert office.beacon()["horizon"] == 6


@pytest.mark.parametrize("wrong", [-1, 1 << 31, 1 << 80, 1.5, "5", True, None, [], {}])
@pytest.mark.parametrize("where", ["horizon", "epoch"])
def test_a_number_that_is_none_is_refused_whole(office, where, wrong):
    def change(content):
        (content if where == "epoch" else content["beacons"][1])[where] = wrong

    with pytest.raises(IntegrityError) as caught:
        office.accept(change=change)
    assert caught.value.code == "form"
    with office.store.reading() as session:
        assert session.scalars(select(BeaconRow)).all() == []


# -- what a file does


def test_a_restore_raises_it_and_a_later_one_can_raise_or_clear_it(office):
    def says(epoch, horizon):
        def change(content):
            content["epoch"] = epoch
            content["beacons"][0]["horizon"] = horizon

        return change

    found = []
    for epoch, horizon in ((0, 0), (1, 5), (1, 7), (1, 3), (0, 9), (0, 0), (2, 4), (3, 0), (2, 0)):
        done = office.accept(change=says(epoch, horizon))
        found.append((office.beacon()["horizon"], done.is_outdated))
    assert found == [
        (None, False), (5, False), (7, False), (7, False), (9, True), (9, True), (4, False),
        (None, False), (None, True),
    ]  # fmt: skip
    with office.store.reading() as session:
        assert session.get_one(FleetRow, 1).epoch == 3


def test_those_are_unsure_that_showed_nothing_newer(office):
    assert office.accept().unsure == 0
    for name in office.names:
        office.fleet.heard(name, 5)
    office.fleet.registry.raise_epoch()
    done = office.accept()
    assert (done.changed, done.unsure) == (2, 2)
    office.hear(6)
    assert office.accept().unsure == 1
    office.fleet.registry.revoke(office.names[1], "lost")
    assert office.accept().unsure == 1  # it may be squeezed all the same


def test_the_officer_of_the_hub_is_told_in_words(office, capsys):
    office.fleet.heard(office.name, 5)
    yesterday = office.copy("yesterday.db")
    office.fleet.registry.raise_epoch()
    _say_accepted(office.accept(), False)
    said = " ".join(capsys.readouterr().err.split())
    assert "What comes from 1 beacon may be a replay" in said
    assert "alarms as ever" in said
    with yesterday:
        _say_accepted(office.accept(yesterday), False)
    assert "knows nothing of a restore" in " ".join(capsys.readouterr().err.split())
    office.hear(6)
    _say_accepted(office.accept(), False)
    assert "replay" not in capsys.readouterr().err


def test_a_registry_copied_back_from_yesterday_moves_nothing_back(office):
    office.fleet.heard(office.name, 3)
    yesterday = office.copy("yesterday.db")
    office.fleet.heard(office.name, 9)
    office.fleet.registry.revoke(office.name, "stolen")
    office.accept()
    office.hear(12)
    before = office.beacon()
    assert (before["newest_event"], before["horizon"]) == (12, 9)
    with yesterday:
        office.accept(yesterday)
    after = office.beacon()
    never_back(before, after)
    assert (after["newest_event"], after["anchor"]) == (12, before["anchor"])
    # what was heard is as it was: the same packet opens nothing, and is told to nobody
    told = list(office.told)
    office.hear(12, at_s=7200)
    assert office.told == told
    assert office.marks() == {(office.name, 12): False}


def test_a_restored_registry_moves_nothing_back(office):
    """Backup at event 3; the hub hears 12; the officer restores, and this computer knows of 7."""
    office.fleet.heard(office.name, 3)
    backup = office.copy("backup.db")
    yesterday = office.copy("yesterday.db")
    office.fleet.heard(office.name, 7)
    office.fleet.registry.revoke(office.name, "stolen")
    office.accept()
    office.hear(12)
    before = office.beacon()
    with backup as restored, yesterday:
        restored.raise_epoch({office.name: 7})
        done = office.accept(restored)
        assert (done.unsure, done.is_outdated) == (0, False)
        after = office.beacon()
        never_back(before, after)
        assert (after["newest_event"], after["horizon"]) == (12, 7)
        assert office.marks() == {(office.name, 12): False}
        # and then an old copy once more
        assert office.accept(yesterday).is_outdated
        never_back(after, office.beacon())
    key = open_anchor(office.keyring.keys().storage, office.name, after["anchor_event"],
                      after["anchor"])  # fmt: skip
    assert key == office.fleet.event_key(office.name, after["anchor_event"])
    office.hear(13, at_s=60)
    assert office.marks()[office.name, 13] is False


def test_two_restores_of_one_backup_keep_the_later_mark(office):
    """The second computer heard less than the first: both registries are of epoch 1."""
    office.fleet.heard(office.name, 3)
    first, second = office.copy("first.db"), office.copy("second.db")
    with first, second:
        first.raise_epoch({office.name: 7})
        second.raise_epoch()
        office.accept(first)
        office.accept(second)
    assert office.beacon()["horizon"] == 7


# -- what nobody says, and can be told all the same


def test_an_event_that_the_registry_knows_by_its_number_is_no_news_at_a_new_hub(office):
    office.fleet.heard(office.name, 5)
    assert office.accept().unsure == 1
    assert office.accept().unsure == 1
    office.hear(5)
    office.hear(6, at_s=60)
    assert office.marks() == {(office.name, 5): True, (office.name, 6): False}
    assert office.accept().unsure == 0


def test_an_event_that_the_hub_heard_itself_is_news_there(office):
    office.accept()
    office.hear(1)
    office.fleet.heard(office.name, 1)
    assert office.accept().unsure == 0
    assert office.beacon()["horizon"] is None
    office.fleet.heard(office.name, 2)  # at the office alone
    assert office.accept().unsure == 1
    office.hear(2, at_s=60)
    office.hear(3, at_s=120)
    assert office.marks() == {
        (office.name, 1): False, (office.name, 2): True, (office.name, 3): False,
    }  # fmt: skip


def test_a_restore_does_not_make_news_of_what_the_hub_never_heard(office):
    backup = office.copy("backup.db")
    for name in office.names:
        office.fleet.heard(name, 5)
    office.accept()
    office.hear(5)
    office.hear(6, at_s=60)
    with backup as restored:
        restored.raise_epoch()
        office.accept(restored)
    assert [office.beacon(name)["horizon"] for name in office.names] == [None, 5]


def test_what_this_computer_heard_is_known_of_a_registry_that_was_copied_back(office, tmp_path):
    yesterday = office.copy("yesterday.db")
    office.fleet.heard(office.name, 7)
    heard_here = {office.name: 7, office.names[1]: 0, "ZZZZZZZZ": 9}
    with yesterday as older:
        asked = office.keyring.request()
        made = enrolment.make(office.fleet.officer, older, asked, NOW, heard_here)
    assert made.behind == 1
    enrolment.accept(office.store, office.keyring, made.sealed)
    assert (office.beacon()["horizon"], office.beacon()["newest_event"]) == (7, 0)
    office.hear(2)
    assert office.marks() == {(office.name, 2): True}
    now = enrolment.make(office.fleet.officer, office.fleet.registry, office.keyring.request(),
                         heard=heard_here)  # fmt: skip
    assert now.behind == 0


# -- what comes of it


def restored_hub(office, newest=5):
    """A hub that begins after a restore: it never heard anything itself."""
    office.fleet.heard(office.name, newest)
    office.fleet.registry.raise_epoch()
    office.accept()
    return office


def test_up_to_the_horizon_it_is_marked_and_alarms_like_any_other(office):
    restored_hub(office).hear(5)
    assert office.marks() == {(office.name, 5): True}
    assert office.told == [(5, "opened")]
    [one] = view.incidents(office.store).items
    assert (one.kind, one.state, one.is_replay, one.sightings) == ("ALERT", "open", False, 1)
    assert view.counts(office.store) == {"ALERT": {"open": 1}}
    found = view.incident(office.store, one.id)
    assert [(line.who, line.what, line.detail) for line in found.timeline] == [
        ("hub", "opened", MARK)
    ]
    assert [sighting.may_be_replay for sighting in found.sightings.items] == [True]


def test_the_first_newer_event_ends_it_for_what_comes_and_not_for_what_was(office):
    restored_hub(office).hear(5)
    office.hear(6, at_s=60)
    office.hear(7, at_s=120)
    office.hear(1, number=1, at_s=120)  # another beacon, of which nothing was known
    assert office.marks() == {(office.name, 5): True, (office.name, 6): False,
                              (office.name, 7): False, (office.names[1], 1): False}  # fmt: skip
    office.hear(5, at_s=4, age_s=4)  # still its event: late on its way
    assert office.marks()[office.name, 5]
    assert office.accept().unsure == 0


def test_what_the_hub_heard_itself_before_is_no_guess(office):
    """Its own memory tells a replay of that from news: the registry's loss is not the hub's."""
    office.accept()
    office.hear(4)
    office.fleet.heard(office.name, 5)
    office.fleet.registry.raise_epoch()
    office.accept()
    office.hear(4, at_s=10, age_s=10)
    assert office.marks() == {(office.name, 4): False}
    office.hear(5, at_s=60)  # this one it never heard
    assert office.marks() == {(office.name, 4): False, (office.name, 5): True}


def test_what_is_called_a_replay_is_not_called_a_maybe(office):
    restored_hub(office).hear(6)
    office.hear(5, at_s=300)  # after a later event began
    [replay] = view.incidents(office.store, view.Filter(is_replay=True)).items
    assert (replay.event, replay.may_be_replay) == (5, False)
    assert [(e, w) for e, w in office.told if e == 5] == []
    found = view.incident(office.store, replay.id)
    assert [line.detail for line in found.timeline] == ["by a replay"]
    assert [one.may_be_replay for one in found.sightings.items] == [False]


def test_a_drill_and_a_test_are_marked_too(office):
    office.fleet.heard(office.names[1], 2)
    restored_hub(office).hear(5, kind={"drill": True})
    office.hear(2, number=1, kind={"activation": 0})
    assert {(one.kind, one.may_be_replay) for one in view.incidents(office.store).items} == {
        ("DRILL", True), ("TEST", True),
    }  # fmt: skip


def test_whoever_resolves_knows_the_newest_horizon(office):
    """Two workers of one hub, and an enrolment between their turns."""
    one, two = office.worker("one"), office.worker("two")
    office.accept()
    office.hear(1, by=one)
    office.hear(1, by=two, number=1)
    office.fleet.heard(office.name, 3)
    office.fleet.registry.raise_epoch({office.names[1]: 2})
    office.accept()
    office.hear(2, by=one, at_s=60)
    office.hear(2, by=two, number=1, at_s=60)
    office.hear(3, by=two, at_s=120)
    office.hear(3, by=one, number=1, at_s=120)
    first, second = office.names
    assert office.marks() == {(first, 1): False, (second, 1): False, (first, 2): True,
                              (second, 2): True, (first, 3): True, (second, 3): False}  # fmt: skip


def test_a_worker_that_starts_anew_remembers(office):
    restored_hub(office).hear(4)
    url = str(office.store.engine.url)
    office.store.close()
    office.store = Store(url, lambda: office.now_ms)
    office.hear(5, at_s=60, by=office.worker("next"))
    assert office.marks() == {(office.name, 4): True, (office.name, 5): True}


# -- where it is told


def data_of(store):
    with store.reading() as session:
        return [(row.body["content"], row.body.get("cap"))
                for row in session.query(NoticeRow).order_by(NoticeRow.id)]  # fmt: skip


@both
@pytest.mark.parametrize("kind", ["ALERT", "DRILL"])
def test_it_is_told_to_the_same_at_the_same_time(store, kind):
    sure, unsure = put(store, incident(1, kind), incident(2, kind, may_be_replay=True))
    for number in (sure, unsure):
        changed(store, number, "opened", DESK, NIGHT, MAIL, XML)
    told = outbox(store)
    assert told[: len(told) // 2] == told[len(told) // 2 :]
    assert len(told) == 6
    with store.writing() as session:
        session.execute(delete(NoticeRow))
    store.now_ms.pass_s(3600)
    tell = queue(store, NIGHT).incident_changed
    assert escalation.step(store, (60,), store.now_ms(), changed=tell) == 2
    assert outbox(store) == [("night", "Alert", "escalated")] * 2


def test_every_channel_says_it_the_minimal_one_too(store):
    [number] = put(store, incident(kind="DRILL", may_be_replay=True))
    changed(store, number, "opened", DESK, MAIL, XML)
    for content, xml in data_of(store):
        assert content["data"]["may_be_replay"] is True
        assert message.headline(content).startswith("DRILL: may be a replay, incident 1, opened")
        assert "Kind:  DRILL, MAY BE A REPLAY" in message.in_words(content)
        if xml is not None:
            assert value(parsed(xml), "note") == "DRILL 1, may be a replay"
    assert data_of(store)[1][0]["data"]["incident"] is None
    assert data_of(store)[0][0]["data"]["incident"]["may_be_replay"] is True


def test_what_waits_since_before_is_sent_as_it_is(store):
    [number] = put(store, incident())
    changed(store, number, "opened", DESK)
    [(content, _)] = data_of(store)
    del content["data"]["may_be_replay"]
    assert message.headline(content).startswith("ALERT: incident 1, opened")
    assert "REPLAY" not in message.in_words(content)


@pytest.mark.parametrize("detail", ["full", "minimal"])
@pytest.mark.parametrize("kind", ["ALERT", "DRILL", "TEST"])
def test_cap_says_it_and_takes_nothing_of_the_urgency(kind, detail):
    sure = parsed(made(facts(kind=kind), detail=detail))
    root = parsed(made(facts(kind=kind, may_be_replay=True), detail=detail))
    for name in ("status", "msgType", "scope", "event", "responseType", "urgency", "severity",
                 "certainty"):  # fmt: skip
        assert value(root, name) == value(sure, name)
    assert value(root, "note").endswith(MARK)
    assert value(root, "headline").startswith(f"{kind}: {MARK}, ")
    names = [one.text for one in root.iter("{urn:oasis:names:tc:emergency:cap:1.2}valueName")]
    assert names.count("fanal:may_be_replay") == 1
    assert MARK not in made(facts(kind=kind), detail=detail)


def test_a_signature_says_nothing_of_when():
    signed = {"signature": "signed", "may_be_replay": True}
    assert value(parsed(made(facts(**signed))), "certainty") == "Likely"
    assert value(parsed(made(facts(is_confirmed=False, **signed))), "certainty") == "Possible"


def test_the_longest_headline_still_says_it():
    content = message.of_incident(facts(may_be_replay=True, site="x" * 400), "Alert", "opened", "",
                                  0, "full", "https://h/1")  # fmt: skip
    line = message.headline(content)
    assert line.startswith(f"ALERT: {MARK}, ")
    assert len(line) <= 160


def test_the_command_line_says_it_beside_the_kind_within_80_columns(tmp_path, monkeypatch):
    from fanal.hub import founding

    monkeypatch.setenv("FANAL_HUB", str(tmp_path))
    monkeypatch.setattr(founding, "is_founded", lambda _: True)
    (tmp_path / "hub.toml").write_text("[hub]\n")
    with paper_store(f"sqlite:///{tmp_path / 'hub.db'}", Clock()) as opened:
        sure, unsure = put(opened, incident(1), incident(2, may_be_replay=True))
        put(opened, sighting(unsure))
        run = CliRunner()
        lines = run.invoke(main, ["incident", "list"]).stdout.splitlines()
        at = next(n for n, line in enumerate(lines) if line.startswith(f"{unsure:>4}  ALERT"))
        assert lines[at + 1].startswith("      MAY BE A REPLAY  shelter-3")
        assert sum("MAY BE" in line for line in lines) == 1
        shown = run.invoke(main, ["incident", "show", str(unsure)]).stdout
        assert shown.startswith(f"ALERT, MAY BE A REPLAY  incident {unsure}: open")
        words = " ".join(shown.split())
        assert "A replay: maybe (the registry was restored); in doubt it is real" in words
        assert max(map(len, (*lines, *shown.splitlines()))) <= 80
        assert "REPLAY" not in run.invoke(main, ["incident", "show", str(sure)]).stdout
        told = json.loads(run.invoke(main, ["incident", "list", "--json"]).stdout)
        assert [one["may_be_replay"] for one in told["incidents"]] == [True, False]
        whole = json.loads(export.incident(opened, unsure).content)
        assert whole["incident"]["may_be_replay"] is True
        assert [one["may_be_replay"] for one in whole["sightings"]] == [True]


async def test_page_and_api_say_it_in_words(tmp_path):
    web = PaperWeb(tmp_path)
    number = a_situation(web.store)["revoked"]
    with web.store.writing() as session:  # an alert of two days ago, marked as nothing else
        row = session.get_one(IncidentRow, number)
        row.is_readable = row.is_confirmed = True
    async with web.visitor("duty") as visitor:
        listed = (await visitor.get("/")).text
        part = listed.split(f'id="incident-{number}"', 1)[1].split("</li>", 1)[0]
        assert 'data-alarm="New ALERT, may be a replay: harbour' in part
        assert 'class="incident is-alert' in listed.split(f'id="incident-{number}"')[1][:60]
        assert listed.count(f">{MARK}</strong>") == 1
        page = await visitor.get(f"/incidents/{number}")
        assert f"<title>ALERT {number}, {MARK}, open: " in page.text
        words = text_of(page)
        assert "the fleet's registry was restored from a backup" in words
        assert "Act as on any other" in words
        assert "Acknowledge this ALERT" in words
        answer = (await visitor.get(f"/api/v1/incidents/{number}")).json()
        assert (answer["kind"], answer["incident"]["may_be_replay"]) == ("ALERT", True)
        described = (await visitor.get("/api/v1/openapi.json")).text
        assert "may_be_replay" in described
    web.store.close()


# -- a database of before


def columns(url, table):
    with Store(url) as opened:
        return {one["name"] for one in inspect(opened.engine).get_columns(table)}


def of_before(url):
    """Make a database as it was before there were these columns, with something in it."""
    with paper_store(url) as opened:
        put(opened, incident())
        with opened.writing() as session:
            for table, column in NEW_COLUMNS:
                session.execute(text(f"ALTER TABLE {table} DROP COLUMN {column}"))
        return opened.engine.url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'hub.db'}"
    return request.getfixturevalue("postgres_url")


def test_a_database_of_before_gets_the_columns_and_says_no(url):
    of_before(url)
    with ThreadPoolExecutor(4) as pool:  # workers that start at once
        list(pool.map(lambda _: Store(url).close(), range(4)))
    for table, column in NEW_COLUMNS:
        assert column in columns(url, table)
    with Store(url, Clock()) as opened:
        with opened.reading() as session:
            assert session.get_one(BeaconRow, BEACON).horizon is None
            assert session.scalars(select(IncidentRow)).one().may_be_replay is None
            assert session.get_one(MetaRow, "schema").value == 1
        [one] = view.incidents(opened).items
        assert one.may_be_replay is False
        put(opened, beacon("AAAAAAAA", horizon=7), incident(2, may_be_replay=True))


def test_a_fanal_of_before_goes_on_with_it(tmp_path):
    """What does not know of the columns writes rows without them."""
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    with paper_store(url):
        pass
    with closing(sqlite3.connect(tmp_path / "hub.db")) as file, file:
        known = [row[1] for row in file.execute("PRAGMA table_info(beacon)")
                 if row[1] not in ("horizon", "id")]  # fmt: skip
        names = ", ".join(known)
        file.execute(f"INSERT INTO beacon (id, {names}) SELECT 'BBBBBBBB', {names} FROM beacon")
    with Store(url) as opened, opened.reading() as session:
        assert session.get_one(BeaconRow, "BBBBBBBB").horizon is None


def test_a_newer_database_is_refused_and_gets_nothing(tmp_path):
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    of_before(url)
    with closing(sqlite3.connect(tmp_path / "hub.db")) as file, file:
        file.execute("UPDATE meta SET value = 9 WHERE key = 'schema'")
    with pytest.raises(EnvironmentFault) as caught:
        Store(url)
    assert caught.value.code == "newer"
    with closing(sqlite3.connect(tmp_path / "hub.db")) as file:
        found = {row[1] for row in file.execute("PRAGMA table_info(beacon)")}
    assert "horizon" not in found
