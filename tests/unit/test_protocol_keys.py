"""The ladder of keys and the slots: what must differ differs, what is out of range is misuse."""

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from fanal_protocol import keys, slot
from fanal_protocol.error import Misuse
from hypothesis import given
from hypothesis import strategies as st

secrets = st.binary(min_size=32, max_size=32)
rid_keys = st.binary(min_size=16, max_size=16)
slots = st.integers(0, 95)
units = st.integers(0, 449)

DERIVED = [
    keys.next_event_key,
    keys.rid_key,
    keys.alert_key,
    keys.page_key,
    keys.crumb_chain,
    keys.beacon_id,
    keys.crumb_step,
]


@given(secrets)
def test_no_two_keys_of_an_event_begin_alike(event_key):
    made = [derive(event_key) for derive in DERIVED[:5]] + list(keys.crumb_step(event_key))
    assert [len(key) for key in made] == [32, 16, 16, 32, 32, 16, 32]
    assert len({key[:16] for key in [event_key, *made]}) == len(made) + 1


@given(secrets, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_stations_share_nothing(root, left, right):
    assert (keys.station_root(root, left) == keys.station_root(root, right)) == (left == right)


@pytest.mark.parametrize("station", [-1, 0x10000])
def test_station_out_of_range(station):
    with pytest.raises(Misuse):
        keys.station_root(bytes(32), station)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_keys_of_another_length(size):
    for derive in DERIVED:
        with pytest.raises(Misuse):
            derive(bytes(size))
    with pytest.raises(Misuse):
        keys.station_root(bytes(size), 0)
    with pytest.raises(Misuse):
        keys.first_event_key(bytes(size), bytes(32))
    with pytest.raises(Misuse):
        keys.first_event_key(bytes(32), bytes(size))


@given(secrets)
def test_beacon_id_is_eight_letters_of_crockford(public_key):
    name = keys.beacon_id(public_key)
    assert len(name) == 8
    assert set(name) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


@given(rid_keys)
def test_every_slot_has_its_own_rid(rid_key):
    assert len({slot.rid(rid_key, number) for number in range(slot.SLOTS)}) == slot.SLOTS


@given(rid_keys, slots)
def test_rid_and_mask_are_two_domains_of_one_cipher(rid_key, number):
    encryptor = Cipher(algorithms.AES(rid_key), modes.ECB()).encryptor()
    place = number.to_bytes(8, "big")
    assert slot.rid(rid_key, number) == encryptor.update(bytes(8) + place)[:8]
    block = encryptor.update((1).to_bytes(8, "big") + place)
    assert slot.mask(rid_key, number) == int.from_bytes(block[:2], "big") % 450


@given(units, units)
def test_masking_comes_undone(seq, mask):
    q = slot.masked(seq, mask)
    assert 0 <= q < slot.UNITS
    assert slot.unmasked(q, mask) == seq


@given(slots, units)
def test_age_counts_two_seconds_a_unit(number, seq):
    assert slot.age_s(number, seq) == 2 * (450 * number + seq)


@pytest.mark.parametrize("number", [-1, 96, 1 << 40])
def test_slot_out_of_range(number):
    for call in (slot.rid, slot.mask):
        with pytest.raises(Misuse):
            call(bytes(16), number)
    with pytest.raises(Misuse):
        slot.age_s(number, 0)


@pytest.mark.parametrize("unit", [-1, 450])
def test_unit_out_of_range(unit):
    for call in (slot.masked, slot.unmasked):
        for arguments in [(unit, 0), (0, unit)]:
            with pytest.raises(Misuse):
                call(*arguments)
    with pytest.raises(Misuse):
        slot.age_s(0, unit)
