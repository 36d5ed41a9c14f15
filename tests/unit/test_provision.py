"""Provisioning: never two identities on one board, nor one on two, nor a first key twice."""

from collections import Counter

import pytest
from fanal import certificate
from fanal.beacon_name import shown
from fanal.beacon_record import MOST_EVENT
from fanal.error import BoardLost, FanalError, IntegrityError, ReadBackError
from fanal.log_verify import verify
from fanal.provision import Request, provision
from fanal.registry import PROVISIONED, RESERVED, RETIRED, Clash
from fanal.schema import StationRow
from fanal_protocol import keys

from tests.unit.paper_board import Fuse, Fused, PaperBoard
from tests.unit.paper_fleet import NOW, PaperFleet, officer

REQUEST = Request("shelter-3", "room 12", "carried", {"hold_ms": 2000})


def run(board, fleet, request=REQUEST, fuse=None, station=None):
    """One `fanal provision`, which the fuse may end anywhere."""
    fuse = fuse or Fuse()
    return provision(
        Fused(board, fuse), station or fleet.station, Fused(fleet.registry, fuse), request,
        now=lambda: NOW,
    )  # fmt: skip


def assert_invariants(fleet, *boards):
    """What must hold after any interruption."""
    rows = fleet.registry.beacons()
    active = [row for row in rows if row.state != RETIRED]
    assert max(Counter(row.mac for row in active).values(), default=0) <= 1
    assert len({row.public_key for row in rows}) == len(rows)
    for board in boards:
        assert max(Counter(key for key, _ in board.key_writes).values(), default=0) <= 1
        if board.event_key is not None:  # reserved before it was written
            assert board.public_key in {row.public_key for row in rows}


def assert_whole(fleet, board, done):
    row = fleet.registry.find(done.beacon_id)
    assert (row.state, row.mac, row.public_key) == (PROVISIONED, board.mac, board.public_key)
    assert (row.site, row.place, row.profile) == ("shelter-3", "room 12", "carried")
    assert board.event_key == keys.first_event_key(fleet.station.root, board.public_key)
    assert board.settings["hold_ms"] == row.settings["hold_ms"] == 2000
    assert board.settings["profile"] == "carried"
    certificate.verify_chain(
        certificate.from_der(row.certificate),
        certificate.from_der(fleet.registry.station_certificate(0)),
        certificate.from_der(fleet.registry.fleet_certificate()),
        beacon_id=done.beacon_id, public_key=board.public_key,
    )  # fmt: skip


def test_a_new_board_gets_its_identity(fleet):
    board = PaperBoard()
    done = run(board, fleet)
    assert done.changed
    assert done.beacon_id == keys.beacon_id(board.public_key)
    assert_whole(fleet, board, done)
    assert_invariants(fleet, board)
    assert [entry.what for entry in fleet.registry.custody(done.beacon_id)] == [
        RESERVED,
        PROVISIONED,
    ]


def test_a_repeated_run_changes_nothing(fleet):
    board = PaperBoard()
    first = run(board, fleet)
    before = fleet.registry.find(first.beacon_id), dict(board.__dict__, calls=None)
    again = run(board, fleet)
    assert not again.changed
    assert (fleet.registry.find(first.beacon_id), dict(board.__dict__, calls=None)) == before


def test_interrupted_anywhere_it_goes_on(tmp_path):
    points = Fuse()
    run(PaperBoard(), PaperFleet(tmp_path), fuse=points)
    assert points.points > 25
    for at in range(points.points):
        fleet = PaperFleet(tmp_path)
        board = PaperBoard()
        with pytest.raises(BoardLost):
            run(board, fleet, fuse=Fuse(at))
        assert_invariants(fleet, board)
        done = run(board, fleet)
        assert_whole(fleet, board, done)
        assert_invariants(fleet, board)
        assert len(fleet.registry.beacons()) == 1
        fleet.registry.close()


def test_interrupted_twice_it_goes_on(tmp_path):
    for first in range(0, 30, 3):
        for second in range(1, 30, 4):
            fleet = PaperFleet(tmp_path)
            board = PaperBoard()
            for at in (first, second):
                try:
                    run(board, fleet, fuse=Fuse(at))
                except BoardLost:
                    assert_invariants(fleet, board)
            assert_whole(fleet, board, run(board, fleet))
            assert_invariants(fleet, board)
            fleet.registry.close()


def test_the_key_is_reserved_on_disk_before_it_is_written(fleet):
    board = PaperBoard()
    seen = []
    take = board._provision
    board._provision = lambda key: seen.append(fleet.registry.watched()) or take(key)
    run(board, fleet)
    assert [w.beacon_id for w in seen[0]] == [keys.beacon_id(board.public_key)]


def test_a_squeeze_between_interruption_and_repetition_costs_nothing(fleet):
    board = PaperBoard()
    with pytest.raises(BoardLost):
        run(board, fleet, fuse=Fuse(at_key_written(fleet)))
    assert board.event_key is not None
    board.squeeze()
    done = run(board, fleet)
    assert fleet.registry.find(done.beacon_id).state == PROVISIONED
    assert len(board.key_writes) == 1
    assert_invariants(fleet, board)


def at_key_written(fleet):
    """The point right after the board took its key."""
    probe = PaperBoard("02:00:00:00:00:99")
    fuse = Fuse()
    points = []
    take = probe._provision
    probe._provision = lambda key: points.append(fuse.points) or take(key)
    run(probe, fleet, fuse=fuse)
    return points[-1]


def request_with(**changes):
    return Request(REQUEST.site, REQUEST.place, REQUEST.profile, REQUEST.settings, **changes)


def test_a_used_beacon_is_left_alone(fleet):
    board = PaperBoard()
    run(board, fleet)
    board.squeeze()
    key = board.event_key
    assert not run(board, fleet).changed
    assert board.event_key == key


def horizon(fleet, done):
    return {one.beacon_id: one.horizon for one in fleet.registry.watched()}[done.beacon_id]


def test_what_a_beacon_said_while_it_was_unknown_may_be_a_replay(fleet, tmp_path):
    """Provisioned after the backup, and taken up again after the restore."""
    board = PaperBoard()
    run(board, fleet)
    restored = PaperFleet(tmp_path)
    done = run(board, restored)
    assert horizon(restored, done) == 0  # no event was on air yet
    for _ in range(3):
        board.squeeze()
    again = PaperFleet(tmp_path)
    done = run(board, again)
    assert (horizon(again, done), again.registry.find(done.beacon_id).newest_event) == (3, 0)
    assert verify(again.registry).findings == ()
    for one in (restored, again):
        one.registry.close()


def test_what_nobody_heard_of_a_known_beacon_may_be_a_replay(fleet):
    board = PaperBoard()
    done = run(board, fleet)
    board.squeeze()
    fleet.registry.record_sighting(done.beacon_id, 1, slot=0, seq=0, t_ms=1000, verdict="fresh")
    assert not run(board, fleet).changed
    assert horizon(fleet, done) == 0  # all of them were heard
    for _ in range(3):
        board.squeeze()
    before = fleet.registry.log_size()
    for _ in range(2):
        assert not run(board, fleet).changed
        assert horizon(fleet, done) == 4
    assert fleet.registry.log_size() == before + 1
    fleet.registry.record_sighting(done.beacon_id, 5, slot=0, seq=0, t_ms=2000, verdict="fresh")
    board.squeeze()
    run(board, fleet)
    assert horizon(fleet, done) == 4
    assert verify(fleet.registry).findings == ()


def test_a_reserved_beacon_that_was_squeezed_meanwhile_is_marked_at_once(fleet):
    board = PaperBoard()
    with pytest.raises(BoardLost):
        run(board, fleet, fuse=Fuse(at_key_written(fleet)))
    board.squeeze()
    board._configure = lambda _: Fuse(0).point()
    with pytest.raises(BoardLost):
        run(board, fleet)
    row = fleet.registry.active_on(board.mac)
    assert (row.state, row.newest_event, horizon(fleet, row)) == (RESERVED, 0, 1)


@pytest.mark.parametrize(("told", "kept"), [(1 << 40, MOST_EVENT), (-5, 0), (0, 0), (1, 0)])
def test_what_a_board_says_of_its_events_is_bounded(fleet, told, kept):
    board = PaperBoard()
    done = run(board, fleet)
    board.says = {"next_event": told}
    run(board, fleet)
    assert horizon(fleet, done) == kept


def test_it_moves(fleet):
    board = PaperBoard()
    done = run(board, fleet)
    board.squeeze()
    moved = run(board, fleet, Request("depot", None, "fixed"))
    assert moved.changed
    row = fleet.registry.find(done.beacon_id)
    assert (row.site, row.place, row.profile) == ("depot", "", "fixed")  # that room is elsewhere
    assert row.settings["hold_ms"] == 2000
    assert board.settings["profile"] == "fixed"
    assert len(board.key_writes) == 1


def test_an_erased_board_needs_replace(fleet):
    board = PaperBoard()
    first = run(board, fleet)
    board.call("wipe", first.beacon_id)
    with pytest.raises(FanalError) as caught:
        run(board, fleet)
    assert caught.value.code == "mac_in_use"
    assert "create_identity" not in board.calls[board.calls.index("wipe") :]
    second = run(board, fleet, request_with(replace=True))
    assert fleet.registry.find(first.beacon_id).state == RETIRED
    assert_whole(fleet, board, second)
    assert_invariants(fleet, board)


def test_a_board_with_another_key_needs_replace(fleet):
    board = PaperBoard()
    first = run(board, fleet)
    board.call("wipe", first.beacon_id)
    board.call("create_identity")
    with pytest.raises(Clash) as caught:
        run(board, fleet)
    assert caught.value.code == "mac_in_use"
    assert shown(first.beacon_id) in caught.value.sentence
    run(board, fleet, request_with(replace=True))
    assert_invariants(fleet, board)


def test_a_replacement_interrupted_anywhere_goes_on(tmp_path):
    for at in range(40):
        fleet = PaperFleet(tmp_path)
        board = PaperBoard()
        old = run(board, fleet).beacon_id
        try:
            run(board, fleet, request_with(wipe=old), fuse=Fuse(at))
        except BoardLost:
            assert_invariants(fleet, board)
            done = run(board, fleet, request_with(wipe=old))
            assert done.beacon_id != old
            assert_whole(fleet, board, done)
        assert fleet.registry.find(old).state == RETIRED
        assert_invariants(fleet, board)
        fleet.registry.close()


def test_a_copied_key_is_refused(fleet):
    board, copy = PaperBoard(), PaperBoard("02:00:00:00:00:02")
    run(board, fleet)
    copy.seed, copy.event_key, copy.n = board.seed, board.event_key, board.n
    with pytest.raises(Clash) as caught:
        run(copy, fleet)
    assert (caught.value.code, caught.value.exit_code) == ("clone", 4)
    assert_invariants(fleet, board)


def test_another_stations_beacon_is_refused_and_not_reserved(fleet, tmp_path):
    other = PaperFleet(tmp_path, 90)
    for squeezes in (0, 1):
        board = PaperBoard(f"02:00:00:00:01:0{squeezes}")
        run(board, other)
        for _ in range(squeezes):
            board.squeeze()
        with pytest.raises(IntegrityError) as caught:
            run(board, fleet)
        assert caught.value.code == "foreign"
        assert fleet.registry.beacons() == []
        assert len(board.key_writes) == 1
    other.registry.close()


def test_another_station_of_the_fleet_is_refused(fleet):
    board = PaperBoard()
    run(board, fleet)
    with pytest.raises(Clash) as caught:
        run(board, fleet, station=fleet.officer.station(1))
    assert caught.value.code == "other_station"


def test_a_lost_registry_is_rebuilt_while_the_first_key_is_there(fleet, tmp_path):
    board = PaperBoard()
    run(board, fleet)
    empty = PaperFleet(tmp_path)
    assert_whole(empty, board, run(board, empty))
    assert len(board.key_writes) == 1
    empty.registry.close()


def test_a_registry_of_another_fleet_certifies_nothing_and_the_board_is_left_alone(fleet, tmp_path):
    other = PaperFleet(tmp_path, 8)
    board = PaperBoard()
    with pytest.raises(Clash) as caught:
        run(board, other, station=fleet.station)
    assert caught.value.code == "other_station"
    assert (other.registry.beacons(), board.public_key, board.key_writes) == ([], None, [])
    other.registry.close()


def test_a_station_that_the_fleet_of_the_registry_did_not_certify_writes_no_key(fleet):
    """Its row was replaced: key and certificate are of one folder, the fleet of another."""
    with fleet.registry.change() as session:
        row = session.get_one(StationRow, 0)
        row.certificate = certificate.to_der(certificate.for_station(
            0, fleet.station.signing_key.public_key(),
            certificate.for_fleet(officer(50).signing_key, NOW), officer(50).signing_key, NOW,
        ))  # fmt: skip
    board = PaperBoard()
    with pytest.raises(IntegrityError) as caught:
        run(board, fleet)
    assert caught.value.code == "chain"
    assert (fleet.registry.beacons(), board.public_key, board.key_writes) == ([], None, [])


def test_a_beacon_that_forgot_its_key_does_not_get_it_again(fleet):
    board = PaperBoard()
    run(board, fleet)
    board.event_key = None
    with pytest.raises(IntegrityError) as caught:
        run(board, fleet)
    assert caught.value.code == "forgetful"
    assert len(board.key_writes) == 1


def test_a_retired_beacon_does_not_come_back(fleet):
    board = PaperBoard()
    done = run(board, fleet)
    fleet.registry.retire(done.beacon_id, "lost")
    with pytest.raises(Clash) as caught:
        run(board, fleet)
    assert caught.value.code == "retired"


def test_two_keys_with_one_id_are_refused(fleet, monkeypatch):
    monkeypatch.setattr(keys, "beacon_id", lambda _: "CLASH000")
    run(PaperBoard(), fleet)
    second = PaperBoard("02:00:00:00:00:02")
    with pytest.raises(Clash) as caught:
        run(second, fleet)
    assert caught.value.code == "id_clash"
    assert second.key_writes == []


@pytest.mark.parametrize(
    ("says", "code"),
    [
        ({"event": {"n": 1, "phase": 0}}, "in_event"),
        ({"drill_armed_s": 30}, "drill_armed"),
        ({"protocol": 2}, "protocol"),
        ({"faults": ["vault_corrupt"]}, "vault_corrupt"),
        ({"mac": "zz"}, "garbage"),
        ({"mac": "0200"}, "garbage"),
        ({"faults": None}, "garbage"),
        ({"chip": "\x1b[2J"}, "garbage"),
        ({"next_event": "1"}, "garbage"),
        ({"public_key": "00"}, "garbage"),
    ],
)
def test_a_board_in_no_state_for_it_is_refused(fleet, says, code):
    board = PaperBoard()
    board.says = says
    with pytest.raises(FanalError) as caught:
        run(board, fleet)
    assert caught.value.code == code
    assert board.key_writes == []
    assert board.seed is None
    assert fleet.registry.beacons() == []


def test_a_board_that_cannot_prove_its_key_is_refused(fleet):
    board = PaperBoard()
    board._challenge = lambda _: {"signature": "00" * 64}
    with pytest.raises(IntegrityError):
        run(board, fleet)
    assert fleet.registry.beacons() == []


def test_a_recorded_proof_is_refused(fleet):
    board = PaperBoard()
    answers = []
    honest = board._challenge
    board._challenge = lambda nonce: answers.append(honest(nonce)) or answers[0]
    run(board, fleet)
    with pytest.raises(IntegrityError):
        run(board, fleet)


def test_a_key_that_reads_back_differently_is_refused(fleet):
    board = PaperBoard()
    board._provision = lambda _: {"check": "00" * 8, "written": True}
    with pytest.raises(ReadBackError):
        run(board, fleet)
    assert fleet.registry.beacons()[0].state == RESERVED


def test_settings_that_read_back_differently_are_refused(fleet):
    board = PaperBoard()
    board._configure = lambda _: {"settings": {}}
    with pytest.raises(ReadBackError):
        run(board, fleet)
    assert fleet.registry.beacons()[0].state == RESERVED


def test_a_bad_setting_is_the_boards_to_refuse(fleet):
    board = PaperBoard()
    with pytest.raises(FanalError) as caught:
        run(board, fleet, request_with_setting("loud", True))
    assert (caught.value.code, caught.value.exit_code) == ("bad_setting", 2)
    assert_whole(fleet, board, run(board, fleet))


def request_with_setting(name, value):
    return Request(REQUEST.site, REQUEST.place, REQUEST.profile, {name: value})


def test_another_board_at_the_end_is_noticed(fleet):
    board = PaperBoard()
    honest = board._configure
    board._configure = lambda text: board.says.update(mac="020000000009") or honest(text)
    with pytest.raises(FanalError) as caught:
        run(board, fleet)
    assert caught.value.code == "other_board"


def test_a_vault_that_cannot_be_read_is_erased_by_name(fleet):
    board = PaperBoard()
    old = run(board, fleet).beacon_id
    board.seed = board.event_key = None
    board.says = {"faults": ["vault_corrupt"]}
    done = run(board, fleet, request_with(wipe="corrupt"))
    assert_whole(fleet, board, done)
    assert fleet.registry.find(old).state == RETIRED
    assert_invariants(fleet, board)


def test_the_wrong_id_erases_nothing(fleet):
    board = PaperBoard()
    run(board, fleet)
    with pytest.raises(FanalError) as caught:
        run(board, fleet, request_with(wipe="ABCDEFGH"))
    assert caught.value.exit_code == 2
    assert "wipe" not in board.calls


def test_a_board_without_a_mac_address(fleet):
    first, second = PaperBoard(), PaperBoard()
    for board in (first, second):
        board.says = {"mac": None}
        run(board, fleet)
    assert len(fleet.registry.beacons()) == 2


def test_a_board_whose_settings_were_lost_gets_back_what_is_registered(fleet):
    board = PaperBoard()
    run(board, fleet)
    board.settings = dict(PaperBoard().settings)
    assert board.settings["hold_ms"] != 2000
    again = run(board, fleet, Request("shelter-3"))
    assert board.settings["hold_ms"] == 2000
    assert fleet.registry.find(again.beacon_id).settings["hold_ms"] == 2000


def test_a_setting_that_a_newer_firmware_has_no_more_stops_nothing(fleet):
    board = PaperBoard()
    run(board, fleet)
    del board.settings["hold_ms"]
    assert run(board, fleet, Request("shelter-3")).changed
