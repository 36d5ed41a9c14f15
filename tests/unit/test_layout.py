"""The declarative description of every frame (host/fanal/layout.py) against the codecs."""

import json
from pathlib import Path

import pytest
from construct import ConstructError
from fanal import layout
from fanal_protocol import advert, alert, crumb, frame, signature
from fanal_protocol.error import Refused
from hypothesis import example, given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((ROOT / "protocol/vectors/protocol-v1.json").read_text("utf-8"))

octets = st.integers(0, 255)
bytes_of = lambda size: st.binary(min_size=size, max_size=size)  # noqa: E731
# payload-like: the right lengths and first bytes, or near them
payloads = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda hdr, body, size: (bytes([hdr]) + body)[:size],
        st.sampled_from([0x20, 0x28, 0x30, 0x38, 0x21, 0x2C, 0x00, 0x40, 0xFF]),
        bytes_of(30),
        st.sampled_from([22, 23, 24, 26, 27, 28]),
    ),
)


def parses(form, data):
    try:
        form.parse(data)
    except ConstructError:
        return False
    return True


def is_accepted(decode, data):
    try:
        decode(data)
    except Refused:
        return False
    return True


@given(payloads)
@example(bytes.fromhex("20" + "00" * 8 + "01c1" + "00" * 12))
@example(bytes.fromhex("20" + "00" * 8 + "01c2" + "00" * 12))
def test_layout_and_codec_accept_the_same_payloads(payload):
    assert parses(layout.PAYLOAD, payload) == is_accepted(frame.decode, payload)


@given(bytes_of(8), st.integers(0, 449), bytes_of(12))
def test_alert_built_by_layout_is_read_by_the_codec(rid, q, sealed):
    parts = {"hdr": {}, "rid": rid, "q": q, "ciphertext": sealed[:4], "tag": sealed[4:]}
    payload = layout.ALERT.build(parts)
    assert frame.decode(payload) == frame.AlertFrame(rid, q, sealed)
    adv = layout.ALERT_ADVERT.build({"uuid_list": {}, "service_data": {}, "payload": parts})
    assert adv == advert.wrap(payload)
    assert len(adv) == layout.ADVERT_BYTES
    assert advert.unwrap(adv) == payload


@given(st.integers(0, 11), bytes_of(22), bytes_of(3))
def test_signature_page_built_by_layout_is_read_by_the_codec(page, chunk, check):
    parts = {"hdr": {}, "page": page, "chunk": chunk, "check": check}
    payload = layout.SIGNATURE_PAGE.build(parts)
    assert frame.decode(payload) == frame.SignatureFrame(page, chunk, check)
    adv = layout.SIGNATURE_ADVERT.build({"service_data": {}, "payload": parts})
    assert adv == advert.wrap(payload)
    assert advert.unwrap(adv) == payload


@given(octets, bytes_of(25))
def test_crumb_page_built_by_layout_is_read_by_the_codec(x, v):
    parts = {"hdr": {}, "x": x, "v": v}
    payload = layout.CRUMB_PAGE.build(parts)
    assert frame.decode(payload) == frame.CrumbFrame(x, v)
    adv = layout.CRUMB_ADVERT.build({"service_data": {}, "payload": parts})
    assert adv == advert.wrap(payload)
    assert advert.unwrap(adv) == payload


@given(st.integers(0, 449), st.tuples(octets, octets, octets, octets), bytes_of(16), bytes_of(8))
def test_layout_reads_what_the_codec_seals(q, plain, key, rid):
    payload = alert.seal(key, rid, q, alert.Alert(*plain))
    parsed = layout.ALERT.parse(payload)
    assert (parsed.rid, parsed.q) == (rid, q)
    opened = alert.open_alert(key, frame.decode(payload))
    assert parses(layout.ALERT_PLAINTEXT, bytes(opened)) == alert.readable(opened)


@given(st.integers(0, 1), st.booleans(), st.booleans(), st.booleans(), octets, octets)
def test_alert_plaintext(activation, drill, battery_low, resumed, battery, crumbs):
    status = alert.status_byte(activation, drill, battery_low, resumed)
    parsed = layout.ALERT_PLAINTEXT.parse(bytes([status, battery, crumbs, activation]))
    bits = parsed.status
    assert (bits.activation, bits.drill, bits.battery_low, bits.resumed) == (
        activation,
        drill,
        battery_low,
        resumed,
    )
    assert (parsed.battery_20mv, parsed.crumbs, parsed.phase) == (battery, crumbs, activation)


@given(
    st.integers(0, 0xFFFF),
    octets,
    st.lists(st.tuples(bytes_of(6).filter(any), st.integers(-128, 127)), max_size=2),
)
def test_crumb_plaintext(age_2s, seen, aps):
    aps = tuple(sorted(aps, key=lambda ap: -ap[1]))
    absent = {"bssid": bytes(6), "rssi_dbm": 0}
    listed = [{"bssid": bssid, "rssi_dbm": rssi_dbm} for bssid, rssi_dbm in aps]
    plain = layout.CRUMB_PLAINTEXT.build(
        {"age_2s": age_2s, "seen": seen, "aps": [*listed, absent, absent][:2]}
    )
    assert crumb.encode(crumb.Crumb(age_2s, seen, aps)) == plain
    assert crumb.decode(plain) == crumb.Crumb(age_2s, seen, aps)
    assert len(plain) == layout.CRUMB_PLAINTEXT.sizeof() == 17


@given(st.integers(1, 2**32 - 1), st.integers(0, 95), bytes_of(8), octets)
def test_signed_message(event, slot, rid, status):
    message = signature.message(event, slot, rid, status)
    parsed = layout.SIGNED_MESSAGE.parse(message)
    assert (parsed.event, parsed.slot, parsed.rid) == (event, slot, rid)
    assert (parsed.status.activation, parsed.status.drill) == (status >> 5, bool(status & 0x10))
    assert len(message) == layout.SIGNED_MESSAGE.sizeof() == 38


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["beacon_id"])
def test_layout_reads_the_vectors(vector):
    adv = layout.ADVERT.parse(bytes.fromhex(vector["alert_advert"]))
    assert adv.payload.rid.hex() == vector["rid"]
    assert adv.payload.q == (vector["seq"] + vector["mask"]) % 450
    message = layout.SIGNED_MESSAGE.parse(bytes.fromhex(vector["signed_message"]))
    assert (message.event, message.slot) == (vector["event"], vector["slot"])
    pages = [layout.PAYLOAD.parse(bytes.fromhex(page)) for page in vector["signature_pages"]]
    assert [page.page for page in pages] == list(range(12))
    assert parses(layout.ADVERT, bytes.fromhex(vector["signature_advert"]))
    assert parses(layout.PAYLOAD, bytes.fromhex(vector["crumb"]["page"]))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["beacon_id"])
@pytest.mark.parametrize("name", ["alert_advert", "signature_advert"])
def test_every_truncation_of_advertising_data_is_refused(vector, name):
    whole = bytes.fromhex(vector[name])
    for size in range(len(whole)):
        assert not parses(layout.ADVERT, whole[:size])
        assert not is_accepted(lambda adv: frame.decode(advert.unwrap(adv)), whole[:size])
