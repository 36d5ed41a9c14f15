"""Two stations merged: once or twice, in any order, with whatever contradicts."""

from datetime import datetime, timedelta, timezone

import pytest
from fanal import certificate, log_checkpoint
from fanal.beacon_record import MOST_EVENT
from fanal.error import FanalError, IntegrityError
from fanal.keyring import Station
from fanal.log_proof import prove
from fanal.log_verify import verify
from fanal.registry import RETIRED, Registry, Reservation
from fanal.registry_copy import contents, export, parse, to_json
from fanal.registry_import import import_registry
from fanal.registry_merge import merge

from tests.unit import paper_log
from tests.unit.paper_fleet import NOW, PaperFleet, officer
from tests.unit.paper_log import id_of, key_of


class Laptop:
    """A technician's laptop: station `number` of the paper fleet, with a registry of its own."""

    def __init__(self, folder, number, fill=7, seed=None, start=1000):
        boss = officer(fill)
        self.number, self.ticks = number, start
        self.station = Station(number, bytes([number]) * 32, bytes([seed or number]) * 32)
        of_fleet = certificate.for_fleet(boss.signing_key, NOW)
        of_station = certificate.to_der(
            certificate.for_station(
                number, self.station.signing_key.public_key(), of_fleet, boss.signing_key, NOW
            )
        )
        self.path = folder / f"laptop-{number}-{start}.db"
        fleet = certificate.to_der(of_fleet)
        Registry.create(self.path, fleet, {number: of_station}, now_ms=self.now_ms).close()
        self.registry = Registry(self.path, now_ms=self.now_ms)

    def now_ms(self):
        self.ticks += 1
        return self.ticks

    def provision(self, seed, site="depot", mac=None):
        wanted = Reservation(
            id_of(seed), key_of(seed), mac or f"02:00:00:00:00:{seed:02x}", "ESP32C3",
            self.number, site, "", "fixed",
        )  # fmt: skip
        self.registry.reserve(wanted)
        of_station = certificate.from_der(self.registry.station_certificate(self.number))
        made = certificate.for_beacon(
            id_of(seed), key_of(seed), of_station, self.station.signing_key, NOW
        )
        self.registry.provisioned(
            id_of(seed), certificate.to_der(made), site=site, place="", profile="fixed", settings={}
        )
        return id_of(seed)

    def sign(self):
        anchors = self.path.with_suffix(".anchors")
        return log_checkpoint.checkpoint(self.registry, self.station, anchors).note

    def file(self):
        data = export(self.registry)
        self.sign()
        with self.registry.snapshot() as session:
            return to_json(contents(session)) if data else b""


@pytest.fixture
def office(tmp_path):
    office = PaperFleet(tmp_path)
    yield office
    office.registry.close()


@pytest.fixture
def laptop(tmp_path):
    laptop = Laptop(tmp_path, 3)
    yield laptop
    laptop.registry.close()


def state(registry):
    with registry.snapshot() as session:
        return contents(session)


def codes(done):
    return [(conflict.code, conflict.beacon_id) for conflict in done.conflicts]


def test_what_a_station_did_is_in_the_office(office, laptop):
    first = laptop.provision(1)
    second = laptop.provision(2)
    laptop.registry.verified(first)
    laptop.registry.record_sighting(first, 4, slot=0, seq=0, t_ms=9, verdict="fresh")
    laptop.registry.revoke(second, "stolen")
    done = merge(office.registry, laptop.file())
    assert (done.station, done.added, done.stations, codes(done)) == (
        3, sorted([first, second]), [3], [],
    )  # fmt: skip
    for beacon_id in (first, second):
        assert office.registry.find(beacon_id) == laptop.registry.find(beacon_id)
        assert office.registry.custody(beacon_id) == laptop.registry.custody(beacon_id)
    after = verify(office.registry)
    assert after.findings == ()
    assert [(s.log, s.signed) for s in after.logs[1:]] == [(done.origin, done.entries)]
    assert done.unsigned == 0


def test_twice_is_once(office, laptop):
    laptop.provision(1)
    data = laptop.file()
    assert merge(office.registry, data).is_news
    before = state(office.registry)
    again = merge(office.registry, data)
    assert (again.is_news, again.added, again.changed, again.entries) == (False, [], [], 0)
    assert state(office.registry) == before


def test_two_stations_twice_in_any_order(tmp_path, laptop):
    other = Laptop(tmp_path, 4, start=5000)
    for seed, station in ((1, laptop), (2, other), (3, laptop)):
        station.provision(seed)
    files = [laptop.file(), other.file()]
    held = []
    for order in ([0, 1, 0, 1], [1, 0, 1, 1, 0]):
        office = PaperFleet(tmp_path)
        for which in order:
            merge(office.registry, files[which])
        held.append(
            [
                office.registry.beacons(),
                [office.registry.custody(b.beacon_id) for b in office.registry.beacons()],
            ]
        )
        assert verify(office.registry).findings == ()
        assert len(verify(office.registry).logs) == 3
        office.registry.close()
    other.registry.close()
    assert held[0] == held[1]


def test_a_later_file_brings_what_is_new_and_an_earlier_one_nothing(office, laptop):
    first = laptop.provision(1)
    early = laptop.file()
    laptop.registry.moved(first, "shelter-3", "attic")
    laptop.registry.record_sighting(first, 6, slot=0, seq=0, t_ms=9, verdict="fresh")
    late = laptop.file()
    merge(office.registry, early)
    done = merge(office.registry, late)
    assert (done.added, done.changed) == ([], [first])
    assert office.registry.find(first) == laptop.registry.find(first)
    before = state(office.registry)
    assert not merge(office.registry, early).is_news
    assert state(office.registry) == before


def test_higher_event_numbers_and_every_revocation_win(office, laptop):
    first, second, third = (laptop.provision(seed) for seed in (1, 2, 3))
    merge(office.registry, laptop.file())
    office.ticks = 50_000
    office.registry.record_sighting(first, 9, slot=0, seq=0, t_ms=9, verdict="fresh")
    office.registry.revoke(second, "seized")
    office.registry.moved(third, "office-place", "")
    laptop.registry.record_sighting(first, 5, slot=0, seq=0, t_ms=9, verdict="fresh")
    laptop.registry.revoke(third, "lost")
    laptop.registry.retire(first, "broken")
    merge(office.registry, laptop.file())
    found = {b.beacon_id: b for b in office.registry.beacons()}
    assert (found[first].newest_event, found[first].state) == (9, RETIRED)
    assert (found[second].revocation.reason, found[third].revocation.reason) == ("seized", "lost")
    assert found[third].site == "office-place"  # written last
    assert verify(office.registry).findings == ()


def test_a_revocation_of_a_station_comes_along(office, laptop):
    laptop.registry.revoke_station(3, "copied")
    merge(office.registry, laptop.file())
    assert [s.revocation and s.revocation.reason for s in office.registry.stations()] == [
        None, None, "copied",
    ]  # fmt: skip
    assert verify(office.registry).findings == ()


def test_what_nobody_knew_before_its_station_was_revoked_is_not_trusted(office, laptop):
    known = laptop.provision(1)
    merge(office.registry, laptop.file())
    office.registry.revoke_station(3, "laptop stolen")
    late = laptop.provision(2)  # its certificate says any date that the thief likes
    data = laptop.file()
    assert codes(merge(office.registry, data)) == [("station_revoked", late)]
    again = merge(office.registry, data)
    assert (again.conflicts, again.added, again.changed) == ([], [], [])
    marks = {one.beacon_id: one.revocation.reason for one in office.registry.watched()}
    assert marks == {known: "its station 3 was revoked: laptop stolen",
                     late: "not known before its station 3 was revoked"}  # fmt: skip
    assert office.registry.find(known).revocation is None
    assert verify(office.registry).findings == ()
    assert office.registry.moved(known, "shelter", "")


def test_a_board_that_got_a_new_identity(office, laptop):
    first = laptop.provision(1)
    merge(office.registry, laptop.file())
    laptop.registry.retire(first, "replaced")
    second = laptop.provision(2, mac="02:00:00:00:00:01")
    done = merge(office.registry, laptop.file())
    assert (codes(done), done.added, done.changed) == ([], [second], [first])


def test_what_contradicts_is_named_and_the_rest_is_merged(office, laptop):
    paper_log.provision(office, 1)  # of station 0
    paper_log.provision(office, 2)
    same = laptop.provision(1)  # a copy of it
    in_use = laptop.provision(8, mac="02:00:00:00:00:02")
    good = laptop.provision(3)
    before = office.registry.find(same)
    done = merge(office.registry, laptop.file())
    assert codes(done) == [("other_station", same), ("mac_in_use", in_use)]
    assert done.added == [good]
    assert office.registry.find(same) == before
    assert office.registry.find(in_use) is None
    assert verify(office.registry).findings == ()


def test_a_clone_is_named(office, laptop, tmp_path):
    first = laptop.provision(1)
    merge(office.registry, laptop.file())
    office.registry.close()
    paper_log.sql(office, "UPDATE beacon SET mac = '02:00:00:00:00:99';")
    office.registry = Registry(office.path, now_ms=office.now_ms)
    laptop.registry.verified(first)
    assert codes(merge(office.registry, laptop.file())) == [("clone", first)]


def test_an_id_of_another_key_is_named(office, laptop):
    laptop.registry.reserve(Reservation(id_of(1), key_of(2), None, "ESP32C3", 3, "s", "", "fixed"))
    paper_log.provision(office, 1)
    assert codes(merge(office.registry, laptop.file())) == [("id_clash", id_of(1))]


def test_a_beacon_that_the_station_did_not_certify_is_named(office, laptop):
    first = laptop.provision(1)
    laptop.registry.provisioned(first, b"der", site="s", place="", profile="fixed", settings={})
    assert codes(merge(office.registry, laptop.file())) == [("chain", first)]


def test_another_fleet_or_this_very_station_or_another_key(office, tmp_path):
    strange = Laptop(tmp_path, 3, fill=40)
    with pytest.raises(FanalError) as caught:
        merge(office.registry, strange.file())
    assert caught.value.code == "other_fleet"
    strange.registry.close()
    # its own file, and one of before
    own = export(office.registry)
    assert not merge(office.registry, own).is_news
    office.registry.raise_epoch()
    assert not merge(office.registry, own).is_news
    twin = PaperFleet(tmp_path)
    paper_log.provision(twin, 5)
    with pytest.raises(FanalError) as caught:
        merge(office.registry, export(twin.registry))
    assert caught.value.code == "same_station"
    twin.registry.close()
    first, second = Laptop(tmp_path, 3, start=10), Laptop(tmp_path, 3, seed=9, start=20)
    second.provision(1)
    merge(office.registry, first.file())
    done = merge(office.registry, second.file())
    assert [code for code, _ in codes(done)] == ["station_clash"]
    assert not done.is_news
    first.registry.close()
    second.registry.close()


def test_a_station_that_is_none_does_not_stop_the_others(office, laptop):
    first = laptop.provision(1)
    with laptop.registry.change() as session:
        laptop.registry._add(session, 9, b"no certificate", 5)
    done = merge(office.registry, laptop.file())
    assert (codes(done), done.added, done.stations) == ([("station_clash", None)], [first], [3])


def test_a_station_that_forgot_is_a_fork(office, laptop, tmp_path):
    laptop.provision(1)
    early = laptop.file()
    laptop.provision(2)
    merge(office.registry, laptop.file())
    before = state(office.registry)
    path = import_registry(early, tmp_path / "restored").path
    with Registry(path, now_ms=laptop.now_ms) as restored:
        restored.revoke(id_of(1), "lost")
        with pytest.raises(FanalError) as caught:
            merge(office.registry, export(restored))
    assert caught.value.code == "fork"
    assert state(office.registry) == before


def test_an_altered_file_changes_nothing(office, laptop):
    laptop.provision(1)
    data = laptop.file()
    before = state(office.registry)
    for old, new in ((b'"site": "depot"', b'"site": "other"'), (b"station-3\\n", b"station-4\\n")):
        assert old in data
        with pytest.raises(IntegrityError):
            merge(office.registry, data.replace(old, new, 1))
    held = parse(data)
    held["log_leaf"].pop()
    with pytest.raises(IntegrityError):
        merge(office.registry, to_json(held))
    assert state(office.registry) == before


def test_what_nobody_signed_for_is_refused(office, laptop):
    laptop.provision(1)
    before = state(office.registry)
    with pytest.raises(IntegrityError) as caught:
        merge(office.registry, export(laptop.registry))
    assert caught.value.code == "unsigned"
    laptop.sign()
    laptop.provision(2)
    with pytest.raises(IntegrityError):
        merge(office.registry, export(laptop.registry))
    assert state(office.registry) == before
    done = merge(office.registry, export(laptop.registry), is_unsigned_fine=True)
    assert (done.unsigned, len(done.added)) == (2, 2)
    laptop.sign()
    for _ in range(3):  # the entries of exports, one more each time
        assert merge(office.registry, export(laptop.registry)).unsigned == 0


def test_who_has_no_key_changes_nothing(office, laptop, tmp_path):
    """Certificates and an old export are in many hands: enough to write a file, not to sign it."""
    known = laptop.provision(1)
    merge(office.registry, laptop.file())
    before = state(office.registry)
    path = import_registry(export(laptop.registry), tmp_path / "forger").path
    with Registry(path) as forged:
        forged.add_station(0, office.registry.station_certificate(0))
        forged.revoke_station(0, "bye")
        forged.retire(known, "bye")
        data = export(forged)
    with pytest.raises(IntegrityError):
        merge(office.registry, data)
    assert state(office.registry) == before


def knows_stations(laptop, office):
    """Let a laptop know stations 0 and 1, which have one key on paper."""
    with laptop.registry.change() as session:
        for number in (0, 1):
            der = office.registry.station_certificate(number)
            laptop.registry._add(session, number, der, laptop.now_ms())


def test_a_revoked_station_has_no_say_in_what_is_known(office, laptop):
    known, other = laptop.provision(1), laptop.provision(2)
    knows_stations(laptop, office)
    merge(office.registry, laptop.file())
    office.registry.revoke_station(3, "laptop stolen")
    before = office.registry.find(known)
    for number in (0, 1):
        laptop.registry.revoke_station(number, "bye")
    laptop.registry.record_sighting(known, 900, slot=0, seq=0, t_ms=9, verdict="fresh")
    laptop.registry.retire(known, "bye")
    laptop.registry.revoke(other, "lost")
    done = merge(office.registry, laptop.file())
    assert codes(done) == [("not_trusted", one) for one in (None, None, known, other)]
    assert office.registry.find(known) == before
    assert office.registry.find(other).revocation.reason == "lost"
    assert [one.number for one in office.registry.stations() if one.revocation] == [3]
    assert len(office.registry.watched()) == 2
    assert verify(office.registry).findings == ()


def test_a_trusted_station_revokes_others_but_not_the_officers_own(office, laptop):
    knows_stations(laptop, office)
    for number in (0, 1):
        laptop.registry.revoke_station(number, "stolen")
    done = merge(office.registry, laptop.file())
    assert (done.revoked, codes(done)) == ([1], [("not_trusted", None)])
    assert [one.number for one in office.registry.stations() if one.revocation] == [1]


@pytest.mark.parametrize("count", [-1, 1 << 40])
def test_more_events_than_a_beacon_lives_to_see(office, laptop, count):
    first, second = laptop.provision(1), laptop.provision(2)
    paper_log.sql(laptop, f"UPDATE beacon SET newest_event = {count} WHERE id = '{first}';")
    laptop.registry.verified(first)
    done = merge(office.registry, laptop.file())
    assert (codes(done), done.added) == ([("nonsense", first)], [second])


def test_an_id_is_that_of_its_key(office, laptop):
    """Else a station takes the ids of others, and theirs clash when they come."""
    squatted = "\x1b[2JABCD"
    laptop.registry.reserve(Reservation(squatted, key_of(1), None, "x", 3, "s", "", "fixed"))
    assert codes(merge(office.registry, laptop.file())) == [("id_clash", "?[2JABCD")]


def test_what_a_terminal_obeys_and_no_calendar_has(office, laptop):
    first = laptop.provision(1)
    laptop.ticks = 1 << 60
    laptop.registry.moved(first, "shel\x1b]0;ter", "a\nb\u202e")
    laptop.registry.revoke_station(3, "lo\x07st")
    data = laptop.file()
    merge(office.registry, data)
    held = office.registry.find(first)
    assert (held.site, held.place, held.last_ms) == ("shel?]0;ter", "a?b?", 253_370_764_800_000)
    assert all(line.detail.isprintable() for line in office.registry.custody(first))
    assert office.registry.stations()[-1].revocation.reason == "lo?st"
    assert not merge(office.registry, data).is_news
    assert verify(office.registry).findings == ()
    for hours in (-12, 14):
        zone = timezone(timedelta(hours=hours))
        assert datetime.fromtimestamp(held.last_ms / 1000, zone).year >= 9998


def test_the_log_of_a_station_is_proved_and_verified_here_too(office, laptop):
    laptop.provision(1)
    done = merge(office.registry, laptop.file())
    assert prove(office.registry, 2, done.origin).text.endswith(laptop.sign())
    anchor = laptop.sign()
    assert verify(office.registry, [anchor]).findings == ()
    paper_log.sql(office, "DELETE FROM log_leaf WHERE log != '' AND number = 2;")
    found = verify(office.registry, [anchor]).findings
    assert ("missing", done.origin, 2) in [(f.code, f.log, f.entry) for f in found]


def test_what_a_station_knows_to_be_doubtful_is_doubtful_at_the_office(office, tmp_path):
    laptop = Laptop(tmp_path, 3)
    first, second = laptop.provision(1), laptop.provision(2)
    laptop.registry.begun(first, 4)
    merge(office.registry, laptop.file())
    laptop.registry.begun(second, 7)
    assert merge(office.registry, laptop.file()).changed == [second]
    assert {w.beacon_id: w.horizon for w in office.registry.watched()} == {first: 4, second: 7}
    assert verify(office.registry).findings == ()
    laptop.registry.begun(first, MOST_EVENT + 1)
    assert [code for code, _ in codes(merge(office.registry, laptop.file()))] == ["nonsense"]
    laptop.registry.close()
