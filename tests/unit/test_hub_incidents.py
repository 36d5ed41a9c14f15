"""What resolved frames do to incidents, rule by rule."""

import pytest
from fanal.envelope import Group, Health, HeardFrame, Postmark
from fanal.heard import Heard
from fanal.hub import actions, escalation
from fanal.hub.inbox import Inbox, Incoming, Taken
from fanal.hub.resolving import Resolving
from fanal.hub.tables import (
    DONE,
    OPEN,
    TAKEN,
    ActionRow,
    CrumbRow,
    IncidentRow,
    ListenerRow,
    SightingRow,
    SignatureRow,
    SiteRow,
)
from fanal.position import Position
from fanal_protocol import alert
from sqlalchemy import select

from tests.unit.paper_beacon import T0, PaperBeacon, heard
from tests.unit.paper_listener import PaperHub, PaperListener

HOUR_MS = 3600_000
LOW = alert.status_byte(alert.HOLD, battery_low=True)


class Scene:
    """One hub, two listeners, and what they hear, resolved at once. told: (event, why) of all."""

    def __init__(self, folder, **more) -> None:
        self.hub = PaperHub(folder / "hub.db", 2, now_ms=T0, **more)
        self.beacon, self.other = self.hub.beacons
        self.one = PaperListener(1, position=Position(48.2, 16.3, 10))
        self.two = PaperListener(2, position=Position(48.21, 16.3, 10))
        self.told: list[tuple[int, str]] = []
        self.resolving = Resolving(
            self.hub.store, self.hub.keys, "one",
            changed=lambda _, row, why: self.told.append((row.event, why)),
        )  # fmt: skip
        self.inbox = Inbox(self.hub.store, self.hub.opener)

    def hear(self, *heards: Heard, by: PaperListener | None = None,
             received_ms: int | None = None) -> None:  # fmt: skip
        """Let a listener hear this; it comes in when it is heard, or at `received_ms`."""
        at_ms = max(one.t_ms for one in heards) if received_ms is None else received_ms
        self.hub.now_ms = at_ms
        data = (by or self.one).heard(*heards, sent_ms=at_ms)
        (answer,) = self.inbox.take([Incoming(data, "", at_ms)])
        assert isinstance(answer, Taken)
        self.resolve()

    def resolve(self) -> None:
        while self.resolving.step() or self.resolving.has_more:
            pass

    def alert(self, age_s: int, late_s: int = 0, event: int = 1, **what) -> Heard:
        """The alert of an event that began at T0, `late_s` after it was sent."""
        return heard(self.beacon.alert(event, age_s, **what), T0 + 1000 * (age_s + late_s))

    def rows(self, kind) -> list:
        with self.hub.store.reading() as session:
            return list(session.scalars(select(kind).order_by(*kind.__table__.primary_key)))

    @property
    def incident(self) -> IncidentRow:
        (row,) = self.rows(IncidentRow)
        return row

    def timeline(self) -> list[tuple[str, str, str]]:
        return [(row.who, row.what, row.detail) for row in self.rows(ActionRow)]


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.hub.close()


def test_the_first_alert_opens_an_incident_and_each_event_has_its_own(scene):
    scene.hear(scene.alert(64, battery=160, crumbs=3))
    row = scene.incident
    assert (row.beacon, row.event, row.kind, row.state) == (scene.beacon.id, 1, "ALERT", OPEN)
    assert (row.age_s, row.phase, row.battery_mv, row.crumbs) == (64, 0, 3200, 3)
    assert (row.is_replay, row.is_readable, row.is_confirmed, row.signature) == (
        False, True, False, "unsigned",
    )  # fmt: skip
    assert (row.sightings, row.replays, row.listeners, row.revision) == (1, 0, 1, 1)
    assert row.began_ms == T0
    scene.hear(heard(scene.beacon.alert(2), T0 + HOUR_MS))
    scene.hear(heard(scene.other.alert(1), T0 + HOUR_MS))
    assert [(r.beacon, r.event) for r in scene.rows(IncidentRow)] == [
        (scene.beacon.id, 1), (scene.beacon.id, 2), (scene.other.id, 1),
    ]  # fmt: skip
    assert scene.told == [(1, "opened"), (2, "opened"), (1, "opened")]
    assert scene.timeline() == [("hub", "opened", "")] * 3


def test_heard_and_received_are_never_mixed(scene):
    scene.hear(scene.alert(10), received_ms=T0 + 30_000)
    scene.hear(scene.alert(20), received_ms=T0 + HOUR_MS)
    scene.hear(scene.alert(4), received_ms=T0 + 2 * HOUR_MS)
    row = scene.incident
    assert (row.first_heard_ms, row.last_heard_ms) == (T0 + 4000, T0 + 20_000)
    assert (row.first_received_ms, row.last_received_ms) == (T0 + 30_000, T0 + 2 * HOUR_MS)
    assert [(r.heard_ms, r.received_ms) for r in scene.rows(SightingRow)] == [
        (T0 + 10_000, T0 + 30_000), (T0 + 20_000, T0 + HOUR_MS), (T0 + 4000, T0 + 2 * HOUR_MS),
    ]  # fmt: skip


def test_the_status_is_that_of_the_greatest_event_time_not_of_the_last_to_come(scene):
    scene.hear(scene.alert(20, phase=1, crumbs=7, battery=150))
    scene.hear(scene.alert(10, phase=0, crumbs=2, battery=160), received_ms=T0 + HOUR_MS)
    row = scene.incident
    assert (row.age_s, row.phase, row.crumbs, row.battery_mv) == (20, 1, 7, 3000)


def test_one_listener_or_many_in_one_delivery_or_in_many_come_to_the_same(scene, tmp_path):
    frames = [scene.alert(2 * n, crumbs=n) for n in range(6)]
    scene.hear(*frames, received_ms=T0 + 60_000)
    (tmp_path / "other").mkdir()
    apart = Scene(tmp_path / "other")
    for frame in frames:
        apart.hear(frame, received_ms=T0 + 60_000)
    assert _facts(scene.incident) == _facts(apart.incident)
    apart.hub.close()


def _facts(row: IncidentRow) -> dict:
    return {c.name: getattr(row, c.name) for c in row.__table__.columns if c.name != "revision"}


def test_another_listener_is_one_more_place_and_an_enrolled_one_confirms(scene):
    scene.hear(scene.alert(0))
    scene.hear(scene.alert(0), by=scene.two)
    scene.hear(scene.alert(0, 2), by=scene.two)
    row = scene.incident
    assert (row.sightings, row.listeners, row.is_confirmed) == (3, 2, False)
    assert [r.verdict for r in scene.rows(SightingRow)] == ["fresh", "duplicate", "duplicate"]
    scene.hub.confirm(scene.two)
    scene.hear(scene.alert(2), by=scene.one)
    assert not scene.incident.is_confirmed
    scene.hear(scene.alert(2), by=scene.two)
    assert scene.incident.is_confirmed
    assert scene.told[-1] == (1, "confirmed")


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        ({"drill": True}, {}, "ALERT"),
        ({}, {"drill": True}, "ALERT"),
        ({"activation": alert.SELF_TEST}, {"drill": True}, "DRILL"),
        ({"drill": True}, {"activation": alert.SELF_TEST}, "DRILL"),
        ({"drill": True}, {"status": 0xF5}, "ALERT"),  # what cannot be read is real
    ],
)
def test_of_two_kinds_the_graver_wins(scene, first, second, kind):
    scene.hear(scene.alert(0, **first))
    before = scene.incident.kind
    scene.hear(scene.alert(2, **second))
    assert scene.incident.kind == kind
    assert ((1, "kind") in scene.told) == (kind != before)


def test_a_replay_is_shown_and_moves_nothing(scene):
    scene.hear(scene.alert(0), scene.alert(10))
    before, told = _facts(scene.incident), list(scene.told)
    scene.hear(scene.alert(0, late_s=3600), by=scene.two)
    after = _facts(scene.incident)
    assert after.pop("replays") == before.pop("replays") + 1
    assert after == before
    assert scene.told == told
    assert [r.verdict for r in scene.rows(SightingRow)] == ["fresh", "fresh", "replay"]


def test_what_a_genuine_alert_shows_to_be_delayed_is_taken_out(scene):
    scene.hear(scene.alert(0, late_s=600, crumbs=9), by=scene.two)
    scene.hear(scene.alert(0, late_s=600), by=scene.one)
    scene.hear(scene.alert(0, late_s=601), by=scene.two)
    assert scene.incident.sightings == 3
    scene.hear(scene.alert(610), scene.alert(612), by=scene.one)
    row = scene.incident
    assert [r.verdict for r in scene.rows(SightingRow)] == ["replay"] * 3 + ["fresh"] * 2
    assert (row.sightings, row.replays, row.listeners) == (2, 3, 1)
    assert (row.first_heard_ms, row.last_heard_ms) == (T0 + 610_000, T0 + 612_000)
    assert (row.began_ms, row.age_s, row.crumbs) == (T0, 612, 0)
    assert row.latitude == scene.one.position.latitude, "the other one heard replays"


def test_what_left_and_came_again_in_one_delivery_counts_once_each(scene):
    """The same alert first delayed and then, from another listener's backlog, in time."""
    late = scene.two.group([scene.alert(0, late_s=600)])
    data = scene.two.delivery(T0 + 700_000, [late])
    in_time = scene.one.delivery(T0 + 700_000, [scene.one.group([scene.alert(0)])])
    scene.hub.now_ms = T0 + 700_000
    scene.inbox.take([Incoming(one, "", scene.hub.now_ms) for one in (data, in_time)])
    scene.resolve()
    assert [(r.listener, r.verdict) for r in scene.rows(SightingRow)] == [
        (scene.two.key, "replay"), (scene.one.key, "fresh"),
    ]  # fmt: skip
    assert (scene.incident.sightings, scene.incident.replays) == (1, 1)
    assert scene.incident.first_heard_ms == T0


def test_what_strangers_repeat_is_bounded_and_what_is_new_is_not(scene, monkeypatch):
    monkeypatch.setattr("fanal.hub.incidents.MOST_REPEATED", 5)
    scene.hub.confirm(scene.two)
    scene.hear(scene.alert(0))
    for n in range(10):
        scene.hear(scene.alert(0, late_s=n % 2 * 3600, event=1), received_ms=T0 + 4000_000 + n)
    assert len(scene.rows(SightingRow)) == 1 + 5
    scene.resolving.release()  # another worker knows how many there are
    scene.resolving = Resolving(scene.hub.store, scene.hub.keys, "two")
    scene.hear(scene.alert(0), scene.alert(2), received_ms=T0 + 4000_100)
    assert len(scene.rows(SightingRow)) == 1 + 5 + 1
    scene.hear(scene.alert(0), scene.alert(2), by=scene.two, received_ms=T0 + 4000_200)
    assert len(scene.rows(SightingRow)) == 1 + 5 + 1 + 2
    row = scene.incident
    assert (row.sightings + row.replays, row.listeners) == (9, 2)


def test_an_incident_of_replays_says_so_tells_nobody_and_begins_anew(scene):
    scene.hub.confirm(scene.one)
    scene.hear(heard(scene.beacon.alert(2), T0 + HOUR_MS))
    scene.told.clear()
    scene.hear(scene.alert(40, late_s=7200, crumbs=4), received_ms=T0 + 3 * HOUR_MS)
    row = scene.rows(IncidentRow)[1]
    assert (row.event, row.is_replay, row.sightings, row.replays) == (1, True, 0, 1)
    assert (row.age_s, row.crumbs, row.began_ms) == (40, 4, None)
    assert scene.timeline()[-1] == ("hub", "opened", "by a replay")
    assert scene.told == []
    # the true one comes out of a backlog later, and is what counts
    scene.hear(scene.alert(4), by=scene.two, received_ms=T0 + 4 * HOUR_MS)
    row = scene.rows(IncidentRow)[1]
    assert (row.is_replay, row.sightings, row.replays, row.listeners) == (False, 1, 1, 1)
    assert (row.first_heard_ms, row.last_heard_ms) == (T0 + 4000, T0 + 4000)
    assert row.first_received_ms == T0 + 4 * HOUR_MS
    assert (row.age_s, row.crumbs, row.is_confirmed, row.began_ms) == (4, 0, False, T0)
    assert scene.told == [(1, "opened")]
    assert scene.timeline()[-1] == ("hub", "opened", "after replays")


def test_reasons_to_tell_are_told_once_and_the_revision_counts_them(scene):
    scene.hear(scene.alert(0))
    for frame in (scene.alert(2), scene.alert(4, status=LOW), scene.alert(6, status=LOW),
                  scene.alert(8, status=LOW, phase=1), scene.alert(10, status=LOW, phase=1),
                  scene.alert(12, resumed=True, phase=1),
                  scene.alert(14, resumed=True, phase=1)):  # fmt: skip
        scene.hear(frame)
    assert [why for _, why in scene.told] == ["opened", "battery", "track", "resumed"]
    assert scene.incident.revision == 4
    assert (scene.incident.is_resumed, scene.incident.is_battery_low) == (True, False)


def test_a_signature_is_kept_with_what_was_signed_and_told_once(scene):
    scene.hear(scene.alert(0))
    pages = [heard(page, T0 + 1000 + i) for i, page in enumerate(scene.beacon.pages(1))]
    scene.hear(*pages[:2])
    assert scene.incident.signature == "unsigned"
    scene.hear(*pages[2:])
    assert scene.incident.signature == "signed"
    (row,) = scene.rows(SignatureRow)
    assert row.signature == scene.beacon.signature(1)
    assert (row.slot, row.rid, row.status) == (0, scene.beacon.rid(1, 0), 0x20)
    scene.hear(scene.alert(900))
    scene.hear(*(heard(p, T0 + 901_000 + i) for i, p in enumerate(scene.beacon.pages(1, 1))))
    assert [row.slot for row in scene.rows(SignatureRow)] == [0, 1]
    assert [why for _, why in scene.told] == ["opened", "signature"]


def test_crumbs_are_kept_each_once(scene):
    scene.hear(scene.alert(0), heard(scene.beacon.crumb_page(1, 5), T0 + 100))
    scene.hear(scene.alert(900), heard(scene.beacon.crumb_page(1, 5, at_slot=1), T0 + 900_100))
    (row,) = scene.rows(CrumbRow)
    assert (row.index, row.age_s, row.seen, row.access_points) == (
        5, 60, 7, [["020000000001", -61]],
    )  # fmt: skip


def test_a_fixed_beacon_is_where_its_site_is(tmp_path):
    scene = Scene(tmp_path, profile="fixed", site="depot-1")
    scene.hear(scene.alert(0))
    assert scene.incident.source == "listeners", "nobody said where the site is"
    with scene.hub.store.writing() as session:
        session.add(SiteRow(name="depot-1", latitude=1.5, longitude=2.5, accuracy_m=30.0))
    scene.hear(scene.alert(2))
    row = scene.incident
    assert (row.latitude, row.longitude, row.accuracy_m, row.source) == (1.5, 2.5, 30.0, "site")
    assert scene.told[-1] == (1, "place")
    scene.hear(*(heard(page, T0 + 2500) for page in scene.beacon.pages(1)[:3]))
    assert (scene.incident.signature, scene.incident.source) == ("signed", "site"), "pages alone"
    scene.hub.close()


def test_the_officers_word_of_where_a_listener_is_wins(scene):
    scene.hub.confirm(scene.one)
    with scene.hub.store.writing() as session:
        row = session.get_one(ListenerRow, scene.one.key)
        row.fixed_latitude, row.fixed_longitude, row.fixed_accuracy_m = 10.0, 20.0, 5.0
    scene.hear(scene.alert(0))
    (seen,) = scene.rows(SightingRow)
    assert (seen.latitude, seen.longitude, seen.source) == (10.0, 20.0, "fixed")
    assert (scene.incident.latitude, scene.incident.longitude) == (10.0, 20.0)


def test_a_place_that_crept_away_is_told_when_it_is_out_of_what_was_told(scene):
    scene.hear(scene.alert(0))
    for step in range(1, 60):
        scene.one.position = Position(48.2 + step * 0.0001, 16.3, 10)  # 11 m each
        scene.hear(scene.alert(2 * step))
    places = [why for _, why in scene.told].count("place")
    assert 3 <= places <= 50
    assert scene.incident.revision == 1 + places


def test_an_incident_without_a_place_has_none_and_gets_one(scene):
    scene.one.position = None
    scene.hear(scene.alert(0))
    assert scene.incident.latitude is None
    scene.hear(scene.alert(2), by=scene.two)
    assert scene.incident.latitude == scene.two.position.latitude
    assert scene.told[-1] == (1, "place")


def _close(scene, age_s: int, reason: str = actions.FALSE_ALARM) -> None:
    scene.hub.now_ms = T0 + 1000 * age_s
    actions.close(scene.hub.store, scene.incident.id, "a responder", reason)
    scene.told.clear()


def test_closed_stays_closed_and_goes_on_to_collect(scene):
    scene.hear(scene.alert(0))
    _close(scene, 1)
    scene.hear(scene.alert(2, phase=1, status=LOW), scene.alert(4, phase=1))
    scene.hear(*(heard(p, T0 + 5000 + i) for i, p in enumerate(scene.beacon.pages(1))))
    row = scene.incident
    assert (row.state, row.sightings, row.phase, row.signature) == (DONE, 3, 1, "signed")
    assert scene.told == []


def test_squeezed_again_after_the_closing_it_is_open_again(scene):
    scene.hear(scene.alert(0), scene.alert(600, phase=1))
    actions.acknowledge(scene.hub.store, scene.incident.id, "a responder")
    _close(scene, 610)
    scene.hear(scene.alert(620, phase=1), scene.alert(622))
    row = scene.incident
    assert (row.state, row.acknowledged_ms, row.escalation, row.phase) == (OPEN, None, 0, 0)
    assert scene.timeline()[-1] == ("hub", "reopened", "squeezed again")
    assert scene.told == [(1, "reopened")]


def test_squeezed_again_before_the_closing_but_heard_of_later_it_stays_closed(scene):
    scene.hear(scene.alert(0), scene.alert(600, phase=1))
    _close(scene, 700)
    scene.hear(scene.alert(622), received_ms=T0 + HOUR_MS)
    assert (scene.incident.state, scene.incident.phase) == (DONE, 0)
    assert scene.told == []


def test_a_replay_reopens_nothing(scene):
    scene.hear(scene.alert(0), scene.alert(600, phase=1))
    _close(scene, 610)
    scene.hear(scene.alert(602, late_s=3600))
    assert scene.incident.state == DONE


@pytest.mark.parametrize("what", [{"activation": alert.SELF_TEST}, {"drill": True}])
def test_what_was_closed_as_less_than_it_is_opens_again(scene, what):
    scene.hear(scene.alert(0, **what))
    _close(scene, 1, actions.TEST_OVER if "activation" in what else actions.DRILL_OVER)
    scene.hear(scene.alert(2))
    assert (scene.incident.state, scene.incident.kind) == (OPEN, "ALERT")
    assert scene.told == [(1, "reopened")]


@pytest.mark.parametrize("what", [{"activation": alert.SELF_TEST}, {"drill": True}])
def test_an_alert_that_was_acknowledged_as_less_is_nobodys_yet(scene, what):
    """And whoever has to be called is called as for any other alert, from now on."""
    scene.hear(scene.alert(0, **what))
    actions.acknowledge(scene.hub.store, scene.incident.id, "a responder")
    with scene.hub.store.writing() as session:
        session.get_one(IncidentRow, scene.incident.id).escalation = 1
    scene.told.clear()
    scene.hear(scene.alert(2, **what))
    assert scene.incident.state == TAKEN
    scene.hear(scene.alert(400), received_ms=T0 + HOUR_MS)
    row = scene.incident
    assert (row.kind, row.state, row.acknowledged_ms, row.escalation) == ("ALERT", OPEN, None, 0)
    assert scene.told == [(1, "reopened")]
    who, done, detail = scene.timeline()[-1]
    assert (who, done) == ("hub", "reopened")
    assert "more than" in detail
    called = []
    for after_ms in (119_000, 120_000):
        called.append(escalation.step(scene.hub.store, (120,), T0 + HOUR_MS + after_ms))
    assert called == [0, 1]
    # once: whoever acknowledges it now knows what it is
    actions.acknowledge(scene.hub.store, row.id, "a responder")
    scene.hear(scene.alert(402), scene.alert(404, **what))
    assert scene.incident.state == TAKEN


def test_a_test_that_was_acknowledged_and_is_a_drill_stays_so(scene):
    scene.hear(scene.alert(0, activation=alert.SELF_TEST))
    actions.acknowledge(scene.hub.store, scene.incident.id, "a responder")
    scene.hear(scene.alert(2, drill=True))
    assert (scene.incident.kind, scene.incident.state) == ("DRILL", TAKEN)


def test_replays_that_were_acknowledged_do_not_hide_the_true_one(scene):
    scene.hear(heard(scene.beacon.alert(2), T0 + HOUR_MS))
    scene.hear(scene.alert(40, late_s=7200), received_ms=T0 + 3 * HOUR_MS)
    number = scene.rows(IncidentRow)[1].id
    actions.acknowledge(scene.hub.store, number, "a responder")
    scene.told.clear()
    scene.hear(scene.alert(4), by=scene.two, received_ms=T0 + 4 * HOUR_MS)
    row = scene.rows(IncidentRow)[1]
    assert (row.is_replay, row.state, row.acknowledged_ms) == (False, OPEN, None)
    assert scene.told == [(1, "opened")]


def test_an_acknowledged_one_stays_so(scene):
    scene.hear(scene.alert(0))
    actions.acknowledge(scene.hub.store, scene.incident.id, "a responder")
    scene.hear(scene.alert(2), scene.alert(600, phase=1), scene.alert(700))
    assert scene.incident.state == TAKEN


def test_an_incident_a_day_long_is_reckoned_from_what_is_remembered(scene):
    """What is kept in memory, and what another worker reads from the database, is the same."""
    other = PaperListener(3, position=Position(48.2003, 16.3, 10))
    for at in range(0, 900, 30):
        for listener in (scene.one, other):
            scene.hear(scene.alert(at), by=listener)
    before = _facts(scene.incident)
    scene.resolving.release()
    scene.resolving = Resolving(scene.hub.store, scene.hub.keys, "two")
    scene.hear(scene.alert(898), by=other)
    after = _facts(scene.incident)
    assert (after["listeners"], after["sightings"]) == (2, before["sightings"] + 1)
    assert after["first_heard_ms"] == before["first_heard_ms"]
    assert after["latitude"] == pytest.approx(before["latitude"], abs=0.001)


def test_a_stranger_with_a_true_beacons_root_of_another_fleet_opens_nothing(scene):
    scene.hear(heard(PaperBeacon(1, root=bytes(32)).alert(1), T0), scene.alert(0))
    assert scene.incident.sightings == 1


class Liar(PaperListener):
    """A stranger who hears a true alert and says that it was hours ago, or in another age."""

    def lie(self, scene, heard_now, back_ms):
        at_ms = heard_now.t_ms
        frame = HeardFrame(heard_now.payload, 0, 0, 1, -60)
        clocks = (self.sealer.listener, "f" * 16)
        group = self.sealer.group(Group(*clocks, 0, 0, (frame,), self.position))
        mark = Postmark(*clocks, back_ms, 0, Health("hearing"))
        scene.hub.now_ms = at_ms
        (answer,) = scene.inbox.take([Incoming(self.sealer.delivery(mark, [group]), "", at_ms)])
        assert answer.groups == 1
        scene.resolve()


@pytest.mark.parametrize("back_ms", [45_000, 36_000_000, 1 << 52])
@pytest.mark.parametrize("when", ["first", "between", "restart"])
def test_a_stranger_who_backdates_an_alert_spoils_nothing(scene, back_ms, when):
    """Or all that is heard after it would look delayed, as replays are."""
    scene.hub.confirm(scene.one)
    liar = Liar(3)
    ages = [0, 4, 6, 8, 60]
    if when != "first":
        scene.hear(scene.alert(ages.pop(0)))
    liar.lie(scene, scene.alert(0 if when == "first" else 2), back_ms)
    if when == "restart":
        scene.resolving.release()
        scene.resolving = Resolving(scene.hub.store, scene.hub.keys, "two")
    for age_s in ages:
        scene.hear(scene.alert(age_s))
    own = [row for row in scene.rows(SightingRow) if row.listener == scene.one.key]
    assert [row.verdict for row in own] == ["fresh"] * 5
    row = scene.incident
    assert (row.is_confirmed, row.is_replay, row.last_heard_ms) == (True, False, T0 + 60_000)
    assert (row.first_heard_ms, row.sightings, row.replays) == (T0, 5, 1)


def test_a_listener_of_the_fleet_whose_clock_was_wrong_for_years_spoils_nothing(scene):
    """It heard something, was switched off, and learnt the time only then."""
    scene.hub.confirm(scene.one, scene.two)
    scene.two.wall_error_ms = -T0
    kept = scene.two.group([scene.alert(0)])
    scene.two.restart(T0 + 1000)
    scene.two.wall_error_ms = 0
    scene.hub.now_ms = T0 + 2000
    scene.inbox.take([Incoming(scene.two.delivery(T0 + 2000, [kept]), "", T0 + 2000)])
    scene.resolve()
    scene.hear(scene.alert(2), scene.alert(4))
    own = [row for row in scene.rows(SightingRow) if row.listener == scene.one.key]
    assert [row.verdict for row in own] == ["fresh", "fresh"]
    assert scene.incident.first_heard_ms == T0 + 2000


def test_an_event_is_not_over_because_a_stranger_says_that_the_next_began_long_ago(scene):
    scene.hub.confirm(scene.one)
    scene.hear(scene.alert(0))
    Liar(3).lie(scene, scene.alert(4, event=2), 36_000_000)
    scene.hear(scene.alert(10))
    own = [row for row in scene.rows(SightingRow) if row.listener == scene.one.key]
    assert [row.verdict for row in own] == ["fresh", "fresh"]


def test_what_an_honest_stranger_brings_hours_later_still_counts(scene):
    """Its own order, its own replays, and no more than once each."""
    hours = T0 + 6 * 3600_000
    scene.hear(scene.alert(0), scene.alert(2), scene.alert(2000), received_ms=hours)
    scene.hear(scene.alert(2), scene.alert(0, late_s=3600), by=scene.two, received_ms=hours + 1000)
    verdicts = [(row.listener == scene.one.key, row.verdict) for row in scene.rows(SightingRow)]
    assert verdicts == [
        (True, "fresh"), (True, "fresh"), (True, "fresh"), (False, "duplicate"), (False, "replay"),
    ]  # fmt: skip
    row = scene.incident
    assert (row.first_heard_ms, row.last_heard_ms, row.began_ms) == (T0, T0 + 2000_000, T0)
