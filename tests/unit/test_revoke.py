"""A beacon out of our hands: trusted by nothing, and heard by everything."""

import pytest
from fanal.beacon_name import shown
from fanal.error import FanalError, UsageError
from fanal.provision import Request, provision
from fanal.reassign import reassign
from fanal.registry import RETIRED, Clash
from fanal.revoke import revoke
from fanal.verify import verify

from tests.unit.paper_board import FILES, PaperBoard
from tests.unit.paper_fleet import NOW


@pytest.fixture
def board(fleet):
    board = PaperBoard()
    provision(board, fleet.station, fleet.registry, Request("shelter-3"), now=lambda: NOW)
    board.calls.clear()
    return board


def only(fleet):
    (beacon,) = fleet.registry.beacons()
    return beacon


def test_it_is_orthogonal_to_the_state(fleet, board):
    state = only(fleet).state
    assert revoke(fleet.registry, only(fleet), "lost").changed
    assert (only(fleet).state, only(fleet).revocation.reason) == (state, "lost")
    assert [w.revocation.reason for w in fleet.registry.watched()] == ["lost"]


def test_twice_is_once(fleet, board):
    revoke(fleet.registry, only(fleet), "lost")
    before = only(fleet), fleet.registry.custody(only(fleet).beacon_id)
    assert not revoke(fleet.registry, only(fleet), "lost").changed
    assert (only(fleet), fleet.registry.custody(only(fleet).beacon_id)) == before


def test_a_second_reason_leaves_the_first_moment(fleet, board):
    revoke(fleet.registry, only(fleet), "lost")
    first = only(fleet).revocation
    assert revoke(fleet.registry, only(fleet), "stolen, police report 7").changed
    now = only(fleet).revocation
    assert (now.at_ms, now.reason) == (first.at_ms, "stolen, police report 7")
    details = [x.detail for x in fleet.registry.custody(only(fleet).beacon_id)]
    assert details[-2:] == ["lost", "stolen, police report 7"]


def test_a_retired_one_can_be_revoked_and_is_watched_again(fleet, board):
    fleet.registry.retire(only(fleet).beacon_id, "by mistake")
    assert fleet.registry.watched() == []
    assert revoke(fleet.registry, only(fleet), "lost").is_retired
    assert len(fleet.registry.watched()) == 1
    assert only(fleet).state == RETIRED


@pytest.mark.parametrize("reason", ["", " ", "two\nlines", "\x1b[2J", "a" * 121])
def test_a_reason_is_a_line(fleet, board, reason):
    with pytest.raises(UsageError):
        revoke(fleet.registry, only(fleet), reason)
    assert only(fleet).revocation is None


def test_nothing_trusts_it(fleet, board):
    beacon_id = only(fleet).beacon_id
    revoke(fleet.registry, only(fleet), "stolen")
    before = only(fleet)
    with pytest.raises(Clash) as verified:
        verify(board, fleet.registry, FILES, "0.1.0")
    assert board.calls == ["status"]
    with pytest.raises(Clash) as provisioned:
        provision(board, fleet.station, fleet.registry, Request("depot"), now=lambda: NOW)
    for caught in (verified, provisioned):
        assert (caught.value.code, caught.value.exit_code) == ("revoked", 4)
        assert f"{shown(beacon_id)} was revoked (stolen)" in caught.value.sentence
        assert f"fanal retire {beacon_id}" in caught.value.hint
    assert only(fleet) == before
    assert not {"configure", "provision", "wipe"} & set(board.calls)


def test_what_was_on_its_way_when_it_was_revoked_is_refused(fleet, board):
    """A revocation by another command, in the middle of a verification."""
    honest = board._self_test

    def revoked_meanwhile():
        revoke(fleet.registry, only(fleet), "seized")
        return honest()

    board._self_test = revoked_meanwhile
    with pytest.raises(Clash) as caught:
        verify(board, fleet.registry, FILES, "0.1.0")
    assert caught.value.code == "revoked"
    assert only(fleet).state == "provisioned"


def test_its_board_can_be_given_a_new_identity(fleet, board):
    old = only(fleet).beacon_id
    revoke(fleet.registry, only(fleet), "lost")
    new = provision(
        board, fleet.station, fleet.registry, Request("depot", wipe=old), now=lambda: NOW
    )
    assert new.beacon_id != old
    assert fleet.registry.find(old).state == RETIRED


# -- reassign


def test_a_beacon_moves_without_its_board(fleet, board):
    done = reassign(fleet.registry, only(fleet), site="depot", place="gate")
    assert done.changed
    assert (only(fleet).site, only(fleet).place) == ("depot", "gate")
    line = fleet.registry.custody(only(fleet).beacon_id)[-1]
    assert (line.what, line.detail) == ("moved", "from shelter-3 to depot, gate")
    assert board.calls == []


def test_to_the_same_place_nothing_changes(fleet, board):
    reassign(fleet.registry, only(fleet), site="depot", place="gate")
    before = only(fleet), fleet.registry.custody(only(fleet).beacon_id)
    for place in ("gate", None):
        assert not reassign(fleet.registry, only(fleet), site="depot", place=place).changed
    assert (only(fleet), fleet.registry.custody(only(fleet).beacon_id)) == before


def test_a_place_belongs_to_its_site(fleet, board):
    reassign(fleet.registry, only(fleet), site="depot", place="gate")
    reassign(fleet.registry, only(fleet), site="shelter-4")
    assert (only(fleet).site, only(fleet).place) == ("shelter-4", "")


@pytest.mark.parametrize(("site", "place"), [("two words", ""), ("", ""), ("a", "b\nc")])
def test_a_place_that_no_list_could_show(fleet, board, site, place):
    with pytest.raises(UsageError):
        reassign(fleet.registry, only(fleet), site=site, place=place)
    assert only(fleet).site == "shelter-3"


def test_a_retired_one_moves_no_more(fleet, board):
    fleet.registry.retire(only(fleet).beacon_id, "worn")
    with pytest.raises(FanalError):
        reassign(fleet.registry, only(fleet), site="depot")
