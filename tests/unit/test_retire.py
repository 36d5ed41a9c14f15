"""Retiring: a key that is gone and a row that says so, or neither; whoever pulls the cable."""

import itertools

import pytest
from fanal.beacon_name import shown
from fanal.error import BoardLost, BoardRefused, FanalError, ReadBackError, UsageError
from fanal.provision import Request, provision
from fanal.registry import RETIRED, VERIFIED
from fanal.retire import retire

from tests.unit.paper_board import Fuse, Fused, PaperBoard
from tests.unit.paper_fleet import NOW, PaperFleet

IN_EVENT = {"n": 1, "activation": 1, "drill": False, "resumed": False, "phase": 0, "age_s": 3}


def made(fleet, mac="02:00:00:00:00:01", site="shelter-3"):
    """Return a provisioned board, and its id."""
    board = PaperBoard(mac)
    done = provision(board, fleet.station, fleet.registry, Request(site), now=lambda: NOW)
    board.calls.clear()
    return board, done.beacon_id


def never(beacon):
    raise AssertionError(f"asked about {beacon.beacon_id}, though nothing is to be done")


def assert_untouched(fleet, board, beacon_id):
    assert board.seed is not None
    assert board.event_key is not None
    assert "wipe" not in board.calls
    assert fleet.registry.find(beacon_id).state != RETIRED


def whats(fleet, beacon_id):
    return [line.what for line in fleet.registry.custody(beacon_id)]


@pytest.mark.parametrize("is_named", [True, False])
def test_its_keys_go_and_then_it_is_marked(fleet, is_named):
    board, beacon_id = made(fleet)
    beacon = fleet.registry.find(beacon_id)
    asked = []
    done = retire(
        board, fleet.registry, beacon if is_named else None, reason="worn", sure=asked.append
    )
    assert (done.beacon_id, done.is_erased, done.changed) == (beacon_id, True, True)
    assert asked == [beacon]
    assert board.seed is board.event_key is None
    row = fleet.registry.find(beacon_id)
    assert (row.state, row.revocation) == (RETIRED, None)
    assert fleet.registry.custody(beacon_id)[-1].detail == "worn"
    assert fleet.registry.watched() == []


@pytest.mark.parametrize("is_named", [True, False])
def test_twice_is_once(fleet, is_named):
    board, beacon_id = made(fleet)
    retire(board, fleet.registry, None)
    before = whats(fleet, beacon_id)
    board.calls.clear()
    named = fleet.registry.find(beacon_id) if is_named else None
    done = retire(board, fleet.registry, named, sure=never)
    assert (done.beacon_id, done.is_erased, done.changed) == (beacon_id, True, False)
    assert whats(fleet, beacon_id) == before
    assert board.calls == ["status"]


@pytest.mark.parametrize("is_named", [True, False])
def test_interrupted_anywhere_it_goes_on(tmp_path, is_named):
    for at in itertools.count():
        fleet = PaperFleet(tmp_path)
        board, beacon_id = made(fleet)
        named = fleet.registry.find(beacon_id) if is_named else None
        fuse = Fuse(at)
        try:
            retire(Fused(board, fuse), Fused(fleet.registry, fuse), named)
        except BoardLost:
            # it is never said to be gone while it is there
            assert fleet.registry.find(beacon_id).state != RETIRED or board.seed is None
        else:
            break
        again = fleet.registry.find(beacon_id) if is_named else None
        done = retire(board, fleet.registry, again)
        assert (done.beacon_id, done.is_erased) == (beacon_id, True)
        assert board.seed is None
        assert whats(fleet, beacon_id).count("retired") == 1
        fleet.registry.close()
    assert at > 8
    fleet.registry.close()


def test_declined_nothing_is_touched(fleet):
    board, beacon_id = made(fleet)

    def no(_):
        raise FanalError("Nothing was changed.", code="declined")

    with pytest.raises(FanalError):
        retire(board, fleet.registry, None, sure=no)
    assert_untouched(fleet, board, beacon_id)
    with pytest.raises(FanalError):
        retire(None, fleet.registry, fleet.registry.find(beacon_id), sure=no)
    assert_untouched(fleet, board, beacon_id)


def test_another_beacon_is_not_it(fleet):
    board, beacon_id = made(fleet)
    _, other_id = made(fleet, "02:00:00:00:00:02")
    with pytest.raises(FanalError) as caught:
        retire(board, fleet.registry, fleet.registry.find(other_id), sure=never)
    assert (caught.value.code, caught.value.exit_code) == ("other_beacon", 3)
    assert shown(beacon_id) in caught.value.sentence
    assert_untouched(fleet, board, beacon_id)


def test_a_blank_board_is_not_somebody_elses(fleet):
    """A board out of the box must not retire the beacon that somebody named by mistake."""
    _, beacon_id = made(fleet)
    blank = PaperBoard("02:00:00:00:00:77")
    for named in (fleet.registry.find(beacon_id), None):
        with pytest.raises(FanalError) as caught:
            retire(blank, fleet.registry, named, sure=never)
        assert (caught.value.code, caught.value.exit_code) == ("other_beacon", 3)
    assert fleet.registry.find(beacon_id).state != RETIRED


def test_a_blank_board_without_a_mac_address_proves_nothing(fleet):
    board, beacon_id = made(fleet)
    board.says = {"mac": None}
    board.call("wipe", beacon_id)
    for named in (fleet.registry.find(beacon_id), None):
        with pytest.raises(FanalError):
            retire(board, fleet.registry, named, sure=never)
    assert fleet.registry.find(beacon_id).state != RETIRED


def test_a_board_that_was_erased_by_other_means_is_known_by_its_mac_address(fleet):
    board, beacon_id = made(fleet)
    board.call("wipe", beacon_id)
    done = retire(board, fleet.registry, None)
    assert (done.beacon_id, done.changed) == (beacon_id, True)
    assert board.calls.count("wipe") == 1


def test_an_old_identity_of_the_board_is_not_the_one_it_has(fleet):
    board, old_id = made(fleet)
    retire(board, fleet.registry, None)
    new = provision(board, fleet.station, fleet.registry, Request("depot"), now=lambda: NOW)
    board.calls.clear()
    with pytest.raises(FanalError) as caught:
        retire(board, fleet.registry, fleet.registry.find(old_id), sure=never)
    assert caught.value.code == "other_beacon"
    assert_untouched(fleet, board, new.beacon_id)
    board.call("wipe", new.beacon_id)
    with pytest.raises(FanalError):  # blank now, and the board of another one by the registry
        retire(board, fleet.registry, fleet.registry.find(old_id), sure=never)


def test_a_copy_is_not_erased_in_the_place_of_the_true_one(fleet):
    board, beacon_id = made(fleet)
    board.mac = "02:00:00:00:00:66"
    with pytest.raises(FanalError) as caught:
        retire(board, fleet.registry, None, sure=never)
    assert (caught.value.code, caught.value.exit_code) == ("clone", 4)
    assert_untouched(fleet, board, beacon_id)


def test_a_board_of_another_fleet_keeps_its_keys(fleet, tmp_path):
    other = PaperFleet(tmp_path, 90)
    board, _ = made(other)
    with pytest.raises(FanalError) as caught:
        retire(board, fleet.registry, None, sure=never)
    assert (caught.value.code, caught.value.exit_code) == ("not_registered", 3)
    assert "wipe" not in board.calls
    other.registry.close()


def test_in_an_event_somebody_may_need_help(fleet):
    board, beacon_id = made(fleet)
    board.says = {"event": IN_EVENT}
    with pytest.raises(FanalError) as caught:
        retire(board, fleet.registry, None, sure=never)
    assert (caught.value.code, caught.value.exit_code) == ("in_event", 1)
    assert "--force" in caught.value.hint
    assert_untouched(fleet, board, beacon_id)
    assert retire(board, fleet.registry, None, force=True).is_erased
    assert board.seed is None


def test_a_vault_that_cannot_be_read_is_erased_by_mac_address(fleet):
    board, beacon_id = made(fleet)
    board.seed = board.event_key = None
    board.says = {"faults": ["vault_corrupt"]}
    done = retire(board, fleet.registry, fleet.registry.find(beacon_id))
    assert (done.is_erased, done.changed) == (True, True)
    assert "wipe" in board.calls
    assert fleet.registry.find(beacon_id).state == RETIRED


def test_a_vault_of_a_strange_board_that_cannot_be_read_is_left(fleet):
    _, beacon_id = made(fleet)
    strange = PaperBoard("02:00:00:00:00:66")
    strange.says = {"faults": ["vault_corrupt"]}
    for named in (None, fleet.registry.find(beacon_id)):
        with pytest.raises(FanalError):
            retire(strange, fleet.registry, named, sure=never)
    assert "wipe" not in strange.calls


@pytest.mark.parametrize("what", ["key", "corrupt"])
def test_keys_that_do_not_go_are_no_retirement(fleet, what):
    board, beacon_id = made(fleet)

    def wipe(_):
        if what == "corrupt":
            board.seed = board.event_key = None
            board.says = {"faults": ["vault_corrupt"]}
        return {"wiped": True}

    board._wipe = wipe
    with pytest.raises(ReadBackError) as caught:
        retire(board, fleet.registry, None)
    assert caught.value.exit_code == 5
    assert fleet.registry.find(beacon_id).state != RETIRED


def test_another_board_at_the_end_is_noticed(fleet):
    board, beacon_id = made(fleet)
    honest = board._wipe
    board._wipe = lambda text: board.says.update(mac="020000000009") or honest(text)
    with pytest.raises(FanalError) as caught:
        retire(board, fleet.registry, None)
    assert caught.value.code == "other_board"
    assert fleet.registry.find(beacon_id).state != RETIRED


def test_a_board_that_refuses_is_no_retirement(fleet):
    board, beacon_id = made(fleet)

    def refuse(_):
        raise BoardRefused("What was written does not read back.", code="write")

    board._wipe = refuse
    with pytest.raises(BoardRefused):
        retire(board, fleet.registry, None)
    assert fleet.registry.find(beacon_id).state != RETIRED


def test_keys_in_a_file_may_leave_old_bytes(fleet):
    board, _ = made(fleet)
    board.says = {"vault": "file"}
    assert retire(board, fleet.registry, None).old_bytes


# -- without the board


def test_without_its_board_it_is_still_heard(fleet):
    board, beacon_id = made(fleet)
    done = retire(None, fleet.registry, fleet.registry.find(beacon_id), reason="lost at sea")
    assert (done.is_erased, done.changed) == (False, True)
    assert board.seed is not None
    row = fleet.registry.find(beacon_id)
    assert row.state == RETIRED
    assert row.revocation.reason == "not erased"
    (watched,) = fleet.registry.watched()
    assert (watched.beacon_id, watched.revocation) == (beacon_id, row.revocation)
    before = whats(fleet, beacon_id)
    again = retire(None, fleet.registry, row, sure=never)
    assert not again.changed
    assert whats(fleet, beacon_id) == before


def test_a_board_that_is_found_later_is_erased(fleet):
    board, beacon_id = made(fleet)
    retire(None, fleet.registry, fleet.registry.find(beacon_id))
    done = retire(board, fleet.registry, fleet.registry.find(beacon_id))
    assert (done.is_erased, done.changed) == (True, True)
    assert board.seed is None
    assert whats(fleet, beacon_id)[-3:] == ["retired", "revoked", "erased"]
    assert not retire(board, fleet.registry, None, sure=never).changed


def test_it_has_to_be_named(fleet):
    with pytest.raises(UsageError):
        retire(None, fleet.registry, None)


@pytest.mark.parametrize("reason", ["two\nlines", "\x1b[31m", " ", "a" * 200])
def test_a_reason_is_a_line(fleet, reason):
    board, beacon_id = made(fleet)
    with pytest.raises(UsageError):
        retire(board, fleet.registry, None, reason=reason)
    assert_untouched(fleet, board, beacon_id)


def test_a_revocation_keeps_its_reason(fleet):
    _, beacon_id = made(fleet)
    fleet.registry.revoke(beacon_id, "seized")
    retire(None, fleet.registry, fleet.registry.find(beacon_id))
    assert fleet.registry.find(beacon_id).revocation.reason == "seized"


def test_a_revoked_beacon_that_came_back_gets_a_new_identity(fleet):
    board, beacon_id = made(fleet)
    fleet.registry.revoke(beacon_id, "lost")
    assert retire(board, fleet.registry, fleet.registry.find(beacon_id)).is_erased
    new = provision(board, fleet.station, fleet.registry, Request("depot"), now=lambda: NOW)
    assert new.beacon_id != beacon_id
    assert fleet.registry.find(new.beacon_id).revocation is None
    # a copy of the old keys may be anywhere, so the old one is still named if it is heard
    assert {w.beacon_id for w in fleet.registry.watched()} == {beacon_id, new.beacon_id}
    assert fleet.registry.find(beacon_id).state != VERIFIED
