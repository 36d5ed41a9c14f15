"""One file from the officer to a hub: what is in it, what is not, and what it never undoes."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fanal import certificate
from fanal.envelope import Opener
from fanal.error import FanalError, IntegrityError
from fanal.hub import enrolment, enrolment_file
from fanal.hub.keys import open_anchor, seal_anchor
from fanal.hub.request import Request
from fanal.hub.store import BEACONS, Store
from fanal.hub.tables import BeaconRow, FleetRow, MetaRow, StationRow
from fanal_protocol import keys

from tests.unit.paper_enrolment import EnrolledFleet, hub_keyring, public_key_of
from tests.unit.paper_fleet import NOW

LATER = NOW + timedelta(days=1)


@pytest.fixture
def fleet(tmp_path):
    fleet = EnrolledFleet(tmp_path)
    yield fleet
    fleet.registry.close()


@pytest.fixture
def keyring(tmp_path):
    return hub_keyring(tmp_path / "hub")


@pytest.fixture
def store(tmp_path, keyring):
    with Store(
        f"sqlite:///{tmp_path / 'hub' / 'hub.db'}", lambda: round(NOW.timestamp() * 1000)
    ) as s:
        yield s


def file_of(fleet, keyring, now=NOW):
    return enrolment.make(fleet.officer, fleet.registry, keyring.request(), now).sealed


def rows(store):
    with store.reading() as session:
        found = session.query(BeaconRow).order_by(BeaconRow.id).all()
        return [{c.name: getattr(row, c.name) for c in BeaconRow.__table__.columns}
                for row in found]  # fmt: skip


def anchor(store, keyring, beacon_id):
    (row,) = (row for row in rows(store) if row["id"] == beacon_id)
    return row["anchor_event"], open_anchor(keyring.keys().storage, beacon_id,
                                            row["anchor_event"], row["anchor"])  # fmt: skip


def counter(store):
    with store.reading() as session:
        return session.get_one(MetaRow, BEACONS).value, store.change()


def resealed(keyring, fleet, change, *, signing_key=None, sealed=None):
    """The officer's file with one thing changed, signed again by the fleet or by `signing_key`."""
    plain = keyring.open(sealed or file_of(fleet, keyring))
    content = json.loads(plain[64:])
    change(content)
    text = json.dumps(content).encode()
    key = signing_key or fleet.officer.signing_key
    signature = key.sign(b"fanal/1 enrolment" + text)
    recipient = pyrage.x25519.Recipient.from_str(keyring.request().recipient)
    return pyrage.encrypt(signature + text, [recipient])


# -- what is in the file


def test_the_hub_gets_what_it_needs(fleet, keyring, store):
    names = [fleet.add(n) for n in (1, 2)]
    fleet.add(3, is_certified=False)
    done = enrolment.accept(store, keyring, file_of(fleet, keyring))
    assert (done.is_first, done.added, done.changed, done.unchanged) == (True, 3, 0, 0)
    assert done.fleet == certificate.fleet_name(fleet.officer.signing_key.public_key())
    for name in names:
        assert anchor(store, keyring, name) == (1, fleet.event_key(name, 1))
    held = keyring.keys()
    assert held.sealing == fleet.officer.sealing
    assert Opener(held.sealing).recipient == Opener(fleet.officer.sealing).recipient
    with store.reading() as session:
        pinned = session.get_one(FleetRow, 1)
        assert pinned.certificate == fleet.registry.fleet_certificate()
        certificate.verify_log(
            certificate.from_der(pinned.log_certificate),
            certificate.from_der(pinned.certificate),
            held.log_key.public_key().public_bytes_raw(),
        )
        assert session.get_one(StationRow, 0).certificate == fleet.registry.station_certificate(0)
    assert [row["place"] for row in rows(store) if row["id"] == names[0]] == ["room 1"]


def spellings(secret):
    """Ways in which a secret could stand in a file."""
    yield from (secret, secret.hex().encode(), secret.hex().upper().encode())
    for at in range(
        3
    ):  # base64 of it at every offset, without the letters that its neighbours change
        text = base64.b64encode(bytes(at) + secret)
        yield text[(8 * at + 5) // 6 : -4]
        yield base64.urlsafe_b64encode(bytes(at) + secret)[(8 * at + 5) // 6 : -4]


def test_no_root_no_signing_key_no_past(fleet, keyring):
    name = fleet.add(1)
    fleet.heard(name, 5)
    plain = keyring.open(file_of(fleet, keyring))
    never = [fleet.officer.root, fleet.officer.signing, fleet.station.root, fleet.station.signing]
    never += [fleet.event_key(name, n) for n in (1, 2, 3)]
    for secret in never:
        assert not any(one in plain for one in spellings(secret))
    # the search finds what is there
    assert any(one in plain for one in spellings(fleet.officer.sealing))
    assert any(one in plain for one in spellings(fleet.event_key(name, 4)))


def test_a_search_for_base64_finds_it():
    secret = bytes(range(100, 132))
    for at in range(3):
        assert any(
            one in base64.b64encode(b"xyz"[:at] + secret + b"tail") for one in spellings(secret)
        )


def test_nothing_of_it_is_readable_on_the_way(fleet, keyring):
    name = fleet.add(1, "shelter-3")
    sealed = file_of(fleet, keyring)
    for text in (b"shelter-3", name.encode(), *spellings(fleet.officer.sealing)):
        assert text not in sealed


def test_no_secret_shows_in_a_repr(fleet, keyring, store):
    name = fleet.add(1)
    made = enrolment.make(fleet.officer, fleet.registry, keyring.request(), NOW)
    read = enrolment_file.read(keyring.open(made.sealed), keyring.request().log_key)
    shown = " ".join(map(repr, (made, read, keyring, keyring.keys())))
    for secret in (fleet.officer.sealing, fleet.event_key(name, 1), keyring.keys().storage):
        assert not any(one.decode("latin-1") in shown for one in spellings(secret))
        assert repr(secret)[2:-1] not in shown


@pytest.mark.parametrize(("newest", "event"), [(0, 1), (1, 1), (2, 1), (3, 2), (40, 39)])
def test_the_anchor_is_the_event_before_the_newest(fleet, keyring, store, newest, event):
    name = fleet.add(1)
    if newest:
        fleet.heard(name, newest)
    enrolment.accept(store, keyring, file_of(fleet, keyring))
    assert anchor(store, keyring, name) == (event, fleet.event_key(name, event))


def test_keyring_and_registry_of_different_fleets(fleet, keyring, tmp_path):
    other = EnrolledFleet(tmp_path, fill=50)
    with pytest.raises(IntegrityError, match="different fleets"):
        enrolment.make(other.officer, fleet.registry, keyring.request(), NOW)
    other.registry.close()


# -- twice, older, newer


def test_twice_changes_nothing(fleet, keyring, store):
    fleet.add(1)
    sealed = file_of(fleet, keyring)
    enrolment.accept(store, keyring, sealed)
    before, counted = rows(store), counter(store)
    done = enrolment.accept(store, keyring, sealed)
    assert (done.is_first, done.added, done.changed, done.unchanged) == (False, 0, 0, 1)
    assert (rows(store), counter(store)) == (before, counted)
    # and a new file that says the same neither
    done = enrolment.accept(store, keyring, file_of(fleet, keyring, NOW + timedelta(hours=1)))
    assert (done.changed, rows(store), counter(store)) == (0, before, counted)


def test_an_older_file_takes_nothing_back(fleet, keyring, store):
    name = fleet.add(1)
    old = file_of(fleet, keyring)
    fleet.registry.revoke(name, "stolen")
    fleet.registry.moved(name, "depot", "gate")
    fleet.heard(name, 7)
    new = file_of(fleet, keyring, NOW + timedelta(hours=1))
    assert enrolment.accept(store, keyring, new).revoked == 1
    before = rows(store)
    with pytest.raises(FanalError, match="nothing was changed") as caught:
        enrolment.accept(store, keyring, old)
    assert caught.value.code == "older"
    assert rows(store) == before
    assert before[0]["revoked_reason"] == "stolen"
    assert before[0]["site"] == "depot"
    assert anchor(store, keyring, name) == (6, fleet.event_key(name, 6))


def test_a_hub_that_heard_more_keeps_its_anchor(fleet, keyring, store):
    name = fleet.add(1)
    enrolment.accept(store, keyring, file_of(fleet, keyring))
    storage = keyring.keys().storage
    with store.writing() as session:
        row = session.get_one(BeaconRow, name)
        row.anchor_event, row.newest_event = 9, 10
        row.anchor = seal_anchor(storage, name, 9, fleet.event_key(name, 9))
    fleet.heard(name, 4)
    enrolment.accept(store, keyring, file_of(fleet, keyring, NOW + timedelta(hours=1)))
    assert anchor(store, keyring, name) == (9, fleet.event_key(name, 9))
    assert rows(store)[0]["newest_event"] == 10


def test_news_come_with_the_next_file(fleet, keyring, store):
    first, second = fleet.add(1), fleet.add(2)
    enrolment.accept(store, keyring, file_of(fleet, keyring))
    fleet.registry.moved(first, "depot", "gate")
    fleet.heard(second, 3)
    fleet.add(3)
    counted = counter(store)
    done = enrolment.accept(store, keyring, file_of(fleet, keyring, NOW + timedelta(hours=1)))
    assert (done.added, done.changed, done.unchanged) == (1, 2, 0)
    assert counter(store) == (counted[0] + 1, counted[1] + 1)
    assert anchor(store, keyring, second) == (2, fleet.event_key(second, 2))


def test_a_retired_one_is_marked_and_a_missing_one_stays(fleet, keyring, store):
    worn, kept = fleet.add(1), fleet.add(2)
    enrolment.accept(store, keyring, file_of(fleet, keyring))
    fleet.registry.retire(worn, "worn")
    done = enrolment.accept(store, keyring, file_of(fleet, keyring, NOW + timedelta(hours=1)))
    assert (done.retired, done.missing, done.unchanged) == (1, 0, 1)
    marked = {row["id"]: row["retired_ms"] is not None for row in rows(store)}
    assert marked == {worn: True, kept: False}
    # a registry from an old backup, which knows fewer beacons, silences none of them

    def forget_all(content):
        content.update(beacons=[], retired=[], made_ms=content["made_ms"] + 7_200_000)

    short = resealed(keyring, fleet, forget_all)
    assert enrolment.accept(store, keyring, short).missing == 2
    assert {row["id"]: row["retired_ms"] is not None for row in rows(store)} == marked


def test_one_that_was_retired_and_then_revoked_is_watched_again(fleet, keyring, store):
    name = fleet.add(1)
    fleet.registry.retire(name, "worn")
    assert enrolment.accept(store, keyring, file_of(fleet, keyring)).added == 0
    fleet.registry.revoke(name, "its board was sold")
    done = enrolment.accept(store, keyring, file_of(fleet, keyring, NOW + timedelta(hours=1)))
    assert (done.added, done.revoked) == (1, 1)
    assert rows(store)[0]["retired_ms"] is None


def test_a_file_from_the_future_would_lock_out_all_others(fleet, keyring, store):
    fleet.add(1)
    with pytest.raises(FanalError, match="2026-01-03") as caught:
        enrolment.accept(store, keyring, file_of(fleet, keyring, LATER + timedelta(minutes=1)))
    assert caught.value.code == "clock"
    assert rows(store) == []
    assert keyring.keys().sealing is None


# -- what is refused


def test_another_hub_opens_nothing(fleet, keyring, store, tmp_path):
    fleet.add(1)
    other = hub_keyring(tmp_path / "other", 30)
    with pytest.raises(IntegrityError) as caught:
        enrolment.accept(store, other, file_of(fleet, keyring))
    assert caught.value.code == "not_for_us"


def test_a_file_for_another_log_key(fleet, keyring, store):
    """A request that was put together from two: sealed to us, but certifying somebody else."""
    fleet.add(1)
    strange = Request(keyring.request().recipient, bytes([3]) * 32)
    sealed = enrolment.make(fleet.officer, fleet.registry, strange, NOW).sealed
    with pytest.raises(IntegrityError, match="log"):
        enrolment.accept(store, keyring, sealed)
    assert keyring.keys().sealing is None


def test_a_second_fleet(fleet, keyring, store, tmp_path):
    fleet.add(1)
    enrolment.accept(store, keyring, file_of(fleet, keyring))
    other = EnrolledFleet(tmp_path, fill=50)
    other.add(2)
    before, kept = rows(store), keyring.keys()
    with pytest.raises(IntegrityError) as caught:
        enrolment.accept(store, keyring, file_of(other, keyring, NOW + timedelta(hours=1)))
    assert caught.value.code == "other_fleet"
    other.registry.close()
    assert (rows(store), keyring.keys()) == (before, kept)


def test_the_sealing_key_of_a_fleet_never_changes(fleet, keyring, store):
    fleet.add(1)
    enrolment.accept(store, keyring, file_of(fleet, keyring))
    fleet.officer = replace(fleet.officer, sealing=b"x" * 32)
    fleet.add(2)
    with pytest.raises(IntegrityError, match="sealing key"):
        enrolment.accept(store, keyring, file_of(fleet, keyring, NOW + timedelta(hours=1)))
    assert len(rows(store)) == 1


@pytest.mark.parametrize("part", ["signature", "text"])
def test_every_bit_of_the_signed_text_counts(fleet, keyring, part):
    fleet.add(1)
    plain = bytearray(keyring.open(file_of(fleet, keyring)))
    log_key = keyring.request().log_key
    enrolment_file.read(bytes(plain), log_key)
    places = range(64) if part == "signature" else range(64, len(plain), 97)
    for at in places:
        damaged = bytearray(plain)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(FanalError):
            enrolment_file.read(bytes(damaged), log_key)


def test_every_truncation_is_refused(fleet, keyring):
    fleet.add(1)
    plain = keyring.open(file_of(fleet, keyring))
    for length in (*range(130), *range(130, len(plain), 101), len(plain) - 1):
        with pytest.raises(IntegrityError):
            enrolment_file.read(plain[:length], keyring.request().log_key)


def _beacon(**changed):
    return lambda content: content["beacons"][0].update(changed)


STRANGE = Ed25519PrivateKey.from_private_bytes(b"s" * 32)


@pytest.mark.parametrize(
    "change",
    [
        _beacon(id="AAAAAAAA"),
        _beacon(public_key=public_key_of(9).hex()),
        _beacon(public_key="00"),
        _beacon(station=1000),
        _beacon(station=True),
        _beacon(certificate=base64.b64encode(b"no certificate").decode()),
        _beacon(certificate="!"),
        _beacon(anchor="zz"),
        _beacon(anchor_event=0),
        _beacon(anchor_event=2),
        _beacon(newest_event=1 << 40, anchor_event=1 << 40),
        _beacon(newest_event=-1),
        _beacon(site="two\nlines"),
        _beacon(site="\x1b[2J"),
        _beacon(place=7),
        _beacon(place="x" * 401),
        _beacon(revoked=[1]),
        _beacon(revoked=["now", "lost"]),
        lambda c: c["beacons"].append(c["beacons"][0]),
        lambda c: c["retired"].append(c["beacons"][0]["id"]),
        lambda c: c.update(beacons={"a": 1}),
        lambda c: c.update(beacons=[1]),
        lambda c: c.update(sealing=None),
        lambda c: c.update(sealing="00" * 31),
        lambda c: c.update(stations={}),
        lambda c: c.update(stations={"x": c["fleet"]}),
        lambda c: c["stations"].update({"0": c["fleet"]}),
        lambda c: c.update(log=c["fleet"]),
        lambda c: c.update(log=c["stations"]["0"]),
        lambda c: c.update(fleet=c["stations"]["0"]),
        lambda c: c.update(made_ms=1.5),
        lambda c: c.update(fanal="group"),
        lambda c: c.pop("version"),
    ],
)
def test_a_file_that_contradicts_itself(fleet, keyring, store, change):
    fleet.add(1)
    with pytest.raises(IntegrityError) as caught:
        enrolment.accept(store, keyring, resealed(keyring, fleet, change))
    assert "\n" not in caught.value.sentence
    assert rows(store) == []
    assert keyring.keys().sealing is None


def test_a_newer_version_says_so(fleet, keyring, store):
    fleet.add(1)
    with pytest.raises(FanalError) as caught:
        enrolment.accept(store, keyring, resealed(keyring, fleet, lambda c: c.update(version=2)))
    assert (caught.value.code, caught.value.exit_code) == ("newer", 7)


def test_nobody_else_signs_for_the_fleet(fleet, keyring, store):
    fleet.add(1)
    sealed = resealed(keyring, fleet, lambda c: None, signing_key=STRANGE)
    with pytest.raises(IntegrityError) as caught:
        enrolment.accept(store, keyring, sealed)
    assert caught.value.code == "signature"


def test_a_station_cannot_enrol_a_hub(fleet, keyring, store):
    fleet.add(1)
    sealed = resealed(keyring, fleet, lambda c: None, signing_key=fleet.station.signing_key)
    with pytest.raises(IntegrityError):
        enrolment.accept(store, keyring, sealed)


def test_keys_that_do_not_follow_from_those_held(fleet, keyring, store):
    """Of a beacon that is known, a key from nowhere is refused, whether ahead or behind."""
    name = fleet.add(1)
    fleet.heard(name, 5)
    enrolment.accept(store, keyring, file_of(fleet, keyring))
    before = rows(store)
    for event in (1, 4, 9):
        wrong = _beacon(anchor="11" * 32, anchor_event=event, newest_event=event + 1)
        with pytest.raises(IntegrityError) as caught:
            enrolment.accept(store, keyring, resealed(keyring, fleet, wrong))
        assert caught.value.code == "anchor"
    assert rows(store) == before


def test_a_crash_before_the_commit_leaves_a_hub_that_can_begin_again(
    fleet, keyring, store, monkeypatch
):
    fleet.add(1)
    sealed = file_of(fleet, keyring)

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(keyring), "keep_sealing", crash)
        with pytest.raises(KeyboardInterrupt):
            enrolment.accept(store, keyring, sealed)
    assert rows(store) == []
    # and after the key was written, but not the rows
    keyring.keep_sealing(fleet.officer.sealing)
    assert enrolment.accept(store, keyring, sealed).added == 1


def test_the_ladder_is_that_of_the_protocol(fleet):
    name = fleet.add(1)
    root = keys.station_root(fleet.officer.root, 0)
    assert root == fleet.station.root
    assert fleet.event_key(name, 1) == keys.first_event_key(root, public_key_of(1))


# -- the same on PostgreSQL


def test_two_workers_of_one_hub_accept_at_once(fleet, keyring, postgres_url):
    """Whoever comes second waits for the first, and finds it done."""
    names = [fleet.add(n) for n in range(1, 6)]
    sealed = file_of(fleet, keyring)
    with (
        Store(postgres_url, lambda: round(NOW.timestamp() * 1000)) as store,
        ThreadPoolExecutor(4) as workers,
    ):
        done = list(workers.map(lambda _: enrolment.accept(store, keyring, sealed), range(4)))
        assert sorted((one.added, one.is_first) for one in done) == [
            (0, False), (0, False), (0, False), (5, True),
        ]  # fmt: skip
        assert counter(store) == (1, 1)
        for name in names:
            assert anchor(store, keyring, name) == (1, fleet.event_key(name, 1))
        fleet.heard(names[0], 4)
        fleet.registry.revoke(names[1], "lost")
        done = enrolment.accept(store, keyring, file_of(fleet, keyring, NOW + timedelta(hours=1)))
        assert (done.changed, done.unchanged, done.revoked) == (2, 3, 1)
        assert anchor(store, keyring, names[0]) == (3, fleet.event_key(names[0], 3))
