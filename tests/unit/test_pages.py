"""Signature and crumb pages: whose they are, and what no adversary can spoil."""

import random
from itertools import combinations

import pytest
from fanal import pages as module
from fanal.resolver import Resolver
from fanal.sighting import (
    CrumbFound,
    Outcome,
    PageMatched,
    Refusal,
    SignatureVerified,
)
from fanal_protocol import crumb, frame, keys, signature

from tests.unit.paper_beacon import T0, PaperBeacon, heard

BEACON = PaperBeacon()
MINUTE_MS = 60_000
HALF_HOUR_MS = 30 * MINUTE_MS


@pytest.fixture
def resolver() -> Resolver:
    return Resolver([BEACON.first_keys()])


def take(resolver: Resolver, *payloads: bytes, t_ms: int = T0) -> list[Outcome]:
    return [outcome for payload in payloads for outcome in resolver.take(heard(payload, t_ms))]


def of(kind: type, outcomes: list[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if isinstance(outcome, kind)]


def forged(event: int, page: int, chunk: bytes, at_slot: int = 0) -> bytes:
    """A page with a wrong chunk whose check is right: for its sender 2**24 tries, on paper one."""
    page_key = keys.page_key(BEACON.key(event))
    check = signature.check(page_key, BEACON.rid(event, at_slot), page, chunk)
    return bytes((frame.HDR_SIGNATURE, page)) + chunk + check


@pytest.mark.parametrize("three", list(combinations(range(12), 3))[::11])
def test_any_three_pages_verify(resolver: Resolver, three: tuple[int, ...]) -> None:
    pages = BEACON.pages(1)
    outcomes = take(resolver, BEACON.alert(1), *(pages[i] for i in three))
    assert [m.have for m in of(PageMatched, outcomes)] == [1, 2, 3]
    (verified,) = of(SignatureVerified, outcomes)
    assert verified.signature == BEACON.signature(1)
    assert (verified.event, verified.slot, verified.status) == (1, 0, 0x20)
    assert verified.rid == BEACON.rid(1, 0)


def test_a_signature_is_told_once(resolver: Resolver) -> None:
    outcomes = take(resolver, BEACON.alert(1), *BEACON.pages(1), *BEACON.pages(1))
    assert len(of(SignatureVerified, outcomes)) == 1
    assert [m.is_new for m in of(PageMatched, outcomes)] == [True] * 12 + [False] * 12


def test_pages_before_their_alert_wait_for_it(resolver: Resolver) -> None:
    early = take(resolver, *BEACON.pages(1)[3:6])
    assert [r.reason for r in of(Refusal, early)] == ["unknown"] * 3
    late = take(resolver, BEACON.alert(1), t_ms=T0 + HALF_HOUR_MS)
    assert of(SignatureVerified, late)
    again = take(resolver, BEACON.pages(1)[3])
    assert of(PageMatched, again)[0].is_new is False


def test_half_an_hour_is_the_limit_on_both_sides() -> None:
    for offset_ms, fits in ((-HALF_HOUR_MS, 1), (-HALF_HOUR_MS - 1, 0),
                            (HALF_HOUR_MS, 1), (HALF_HOUR_MS + 1, 0)):  # fmt: skip
        resolver = Resolver([BEACON.first_keys()])
        first, second = T0, T0 + offset_ms
        outcomes = take(resolver, BEACON.alert(1), t_ms=first)
        outcomes += take(resolver, BEACON.pages(1)[0], t_ms=second)
        assert len(of(PageMatched, outcomes)) == fits, offset_ms
        resolver = Resolver([BEACON.first_keys()])
        outcomes = take(resolver, BEACON.pages(1)[0], t_ms=second)
        outcomes += take(resolver, BEACON.alert(1), t_ms=first)
        assert len(of(PageMatched, outcomes)) == fits, offset_ms


def test_a_page_between_two_sightings_that_come_out_of_order(resolver: Resolver) -> None:
    page_ms = T0 + 40 * MINUTE_MS
    outcomes = take(resolver, BEACON.alert(1), t_ms=T0)
    assert of(Refusal, take(resolver, BEACON.pages(1)[0], t_ms=page_ms))
    outcomes = take(resolver, BEACON.alert(1, 20), t_ms=T0 + 20 * MINUTE_MS)  # a replay, but near
    assert of(PageMatched, outcomes)


def test_a_later_slot_has_its_own_signature(resolver: Resolver) -> None:
    outcomes = take(resolver, BEACON.alert(1, 898), *BEACON.pages(1, 0)[:2])
    outcomes += take(resolver, *BEACON.pages(1, 1)[:3], t_ms=T0 + 1000)
    assert not of(SignatureVerified, outcomes)
    outcomes = take(resolver, BEACON.alert(1, 900), t_ms=T0 + 2000)
    assert [v.slot for v in of(SignatureVerified, outcomes)] == [1]
    # a page of the first slot, sent again in the second, still belongs to the first
    outcomes = take(resolver, BEACON.pages(1, 0)[7], t_ms=T0 + 3000)
    assert [v.slot for v in of(SignatureVerified, outcomes)] == [0]


def test_pages_of_an_old_event_prove_nothing_about_the_new_one(resolver: Resolver) -> None:
    take(resolver, BEACON.alert(1))
    later_ms = T0 + 120 * MINUTE_MS
    take(resolver, BEACON.alert(2), t_ms=later_ms)
    outcomes = take(resolver, *BEACON.pages(1), t_ms=later_ms)
    assert {r.reason for r in of(Refusal, outcomes)} == {"tag"}
    assert not of(SignatureVerified, outcomes)


def test_a_page_that_was_ours_is_nobodys_hours_later(resolver: Resolver) -> None:
    page = BEACON.pages(1)[0]
    assert of(PageMatched, take(resolver, BEACON.alert(1), page))
    assert of(Refusal, take(resolver, page, t_ms=T0 + 5 * HALF_HOUR_MS))


def test_the_signed_status_must_be_that_of_the_slot(resolver: Resolver) -> None:
    outcomes = take(resolver, BEACON.alert(1), *BEACON.pages(1, status=0x30))
    assert len(of(PageMatched, outcomes)) == 12
    assert not of(SignatureVerified, outcomes)
    # a sighting in that slot with those bits makes the same chunks good
    outcomes = take(resolver, BEACON.alert(1, 2, drill=True), t_ms=T0 + 2000)
    assert [v.status for v in of(SignatureVerified, outcomes)] == [0x30]


def test_low_status_bits_are_not_signed(resolver: Resolver) -> None:
    low = BEACON.alert(1, status=0x2A)  # battery low, resumed
    outcomes = take(resolver, low, low, BEACON.alert(1), *BEACON.pages(1, status=0x20)[:3])
    assert of(SignatureVerified, outcomes)
    assert resolver._pages._slots[BEACON.id, 1, 0]._statuses == b"\x20"


def test_another_beacons_signature_is_not_accepted(resolver: Resolver) -> None:
    impostor = PaperBeacon(2)
    text = signature.message(1, 0, BEACON.rid(1, 0), 0x20)
    made = signature.pages(impostor.private.sign(text), keys.page_key(BEACON.key(1)),
                           BEACON.rid(1, 0))  # fmt: skip
    outcomes = take(resolver, BEACON.alert(1), *made)
    assert len(of(PageMatched, outcomes)) == 12
    assert not of(SignatureVerified, outcomes)
    assert of(SignatureVerified, take(resolver, *BEACON.pages(1)))


@pytest.mark.parametrize("seed", range(6))
def test_wrong_chunks_with_right_checks_spoil_nothing(resolver: Resolver, seed: int) -> None:
    dice = random.Random(seed)
    poison = [forged(1, page, dice.randbytes(22)) for page in range(12)]
    genuine = BEACON.pages(1)
    outcomes = take(resolver, BEACON.alert(1), *poison)
    assert not of(SignatureVerified, outcomes)
    dice.shuffle(genuine)
    assert of(SignatureVerified, take(resolver, *genuine[:3]))


def test_many_wrong_chunks_of_one_page_do_not_use_up_the_tries(resolver: Resolver) -> None:
    dice = random.Random(1)
    poison = [forged(1, 0, dice.randbytes(22)) for _ in range(100)]
    outcomes = take(resolver, BEACON.alert(1), *poison, *BEACON.pages(1)[1:4])
    assert of(SignatureVerified, outcomes)


def test_tries_for_one_chunk_are_bounded(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    assemble = signature.assemble
    monkeypatch.setattr(
        module.signature, "assemble", lambda *a: tried.append(1) or assemble(*a)
    )  # fmt: skip
    dice = random.Random(2)
    poison = [forged(1, page, dice.randbytes(22)) for page in range(12) for _ in range(3)]
    take(resolver, BEACON.alert(1), *poison)
    tried.clear()
    take(resolver, forged(1, 5, bytes(22)))
    assert len(tried) == module.TRIPLES


def test_flipping_any_bit_of_a_page_makes_it_nobodys(resolver: Resolver) -> None:
    take(resolver, BEACON.alert(1))
    good = BEACON.pages(1)[4]
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        (outcome,) = take(resolver, bytes(bad))
        assert isinstance(outcome, Refusal), bit


def test_a_flood_of_pages_is_bounded_and_the_true_ones_still_pass(resolver: Resolver) -> None:
    dice = random.Random(3)
    for _ in range(5000):
        junk = bytes((frame.HDR_SIGNATURE, dice.randrange(12))) + dice.randbytes(25)
        take(resolver, junk)
    assert resolver.counts["pages_crowded"] == 5000 - 480
    assert of(SignatureVerified, take(resolver, BEACON.alert(1), *BEACON.pages(1)[:3]))


def test_a_crumb_is_one_per_event_and_index(resolver: Resolver) -> None:
    fix = crumb.Crumb(30, 7, ((b"\x02\x00\x00\x00\x00\x01", -61),))
    page = BEACON.crumb_page(1, 200, fix)
    outcomes = take(resolver, BEACON.alert(1), page, page)
    (found,) = of(CrumbFound, outcomes)
    assert (found.index, found.age_s, found.seen, found.aps) == (200, 60, 7, fix.aps)
    # the same crumb looks different in the next slot and is the same
    outcomes = take(resolver, BEACON.alert(1, 900), BEACON.crumb_page(1, 200, at_slot=1))
    assert [m.kind for m in of(PageMatched, outcomes)] == ["crumb"]
    assert not of(CrumbFound, outcomes)
    assert of(CrumbFound, take(resolver, BEACON.crumb_page(1, 0)))


def test_a_crumb_page_waits_for_its_alert(resolver: Resolver) -> None:
    assert of(Refusal, take(resolver, BEACON.crumb_page(1, 3)))
    assert of(CrumbFound, take(resolver, BEACON.alert(1)))


def test_crumb_index_255_is_a_page_error(resolver: Resolver) -> None:
    take(resolver, BEACON.alert(1))
    page = BEACON.crumb_page(1, 0)
    beyond = bytes((page[0], page[1] ^ 0xFF)) + page[2:]  # the index veil is xor: 0 becomes 255
    assert [r.reason for r in take(resolver, beyond)] == ["page"]


def test_forgetting_keeps_what_can_still_matter(resolver: Resolver) -> None:
    take(resolver, BEACON.alert(1))
    for hours in range(1, 60):
        take(resolver, BEACON.alert(2, 900 * (hours - 1)), t_ms=T0 + hours * 60 * MINUTE_MS)
    slots = resolver._pages._slots
    assert (BEACON.id, 1, 0) not in slots
    assert 48 <= len(slots) <= 51
