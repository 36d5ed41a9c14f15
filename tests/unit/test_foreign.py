"""What other people's gateways publish: theirs as documented, and what nobody should take."""

import json
import sys

import pytest
from fanal.hub.foreign import MOST_MESSAGE_BYTES, Foreign, read
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.paper_beacon import T0, PaperBeacon

# An alert and a signature page as a beacon sends them.
FRAMES = [heard.payload for heard in PaperBeacon().on_air(1, T0, 2)][:2]

# Theengs Gateway 1.8.0: what its own detection_callback publishes when bleak reports this frame.
THEENGS_TOPIC = "home/TheengsGateway/BTtoMQTT/1A2B3C4D5E6F"
THEENGS = (
    '{"id": "1A:2B:3C:4D:5E:6F", "rssi": -71, "servicedatauuid": "f5a1", '
    '"servicedata": "20a4162b2f574b46abc7b1d564c40affbc918e1fdee24c"}'
)
# OpenMQTTGateway, docs/use/ble.md ("pubadvdata"): the form of its example of a Qingping sensor,
# with the identifiers of a frame of ours and without what only a decoder adds.
OMG_TOPIC = "home/OMG_ESP32_BLE/BTtoMQTT/1A2B3C4D5E6F"
OMG = (
    '{"id":"1A:2B:3C:4D:5E:6F","mac_type":1,"adv_type":2,"rssi":-93,'
    '"servicedata":"20a4162b2f574b46abc7b1d564c40affbc918e1fdee24c","servicedatauuid":"0xf5a1"}'
)
PAYLOAD = bytes.fromhex("20a4162b2f574b46abc7b1d564c40affbc918e1fdee24c")

# As documented, and not ours: docs/use/use.md of Theengs Gateway and docs/use/ble.md of
# OpenMQTTGateway. The Theengs app publishes only what it decoded, without any service data.
OTHERS = {
    "home/TheengsGateway/BTtoMQTT/F35285": (
        '{"name":"F35285","id":"F3:52:85","rssi":-82,"brand":"BlueMaestro","model":"TempoDisc",'
        '"model_id":"BM_V23","tempc":24.1,"tempf":75.38,"hum":104.7,"dp":24.8,"volt":2.56}'
    ),
    "home/x/BTtoMQTT/549E": (
        '{"id":"54:94:5E:9F:64:C4","mac_type":1,"manufacturerdata":"4c0010060319247bbc68",'
        '"rssi":-74,"txpower":12}'
    ),
    "home/OpenMQTTGateway/BTtoMQTT/112233445566": (
        '{"id":"11:22:33:44:55:66","mac_type":0,"adv_type":0,"name":"Qingping Motion & Light",'
        '"rssi":-93,"servicedata":"88121122334455660201520f0126090403000000",'
        '"servicedatauuid":"0xfdcd","brand":"Qingping","model_id":"CGPR1","lux":3,"batt":82}'
    ),
    "home/OpenMQTTGateway/BTtoMQTT/45E174126E00": (
        '{"id":"45:e1:74:12:6e:00","rssi":-89,"distance":21.51847,'
        '"servicedata":"fe0000000000000000000000000000000000000000"}'
    ),
    "home/OpenMQTTGateway/BTtoMQTT": '{"bleconnect":true,"interval":55555,"minrssi":-100}',
}


def message(**changed):
    fields = {**json.loads(THEENGS), **changed}
    return json.dumps({k: v for k, v in fields.items() if v is not ...}).encode()


def test_theengs_gateway_as_it_publishes():
    assert read(THEENGS_TOPIC, THEENGS.encode()) == Foreign("home/TheengsGateway", PAYLOAD, -71)


def test_openmqttgateway_as_it_publishes():
    expected = Foreign("home/OMG_ESP32_BLE", PAYLOAD, -93)
    assert read(OMG_TOPIC, OMG.encode()) == expected
    # with an external decoder it says the same below "undecoded"
    for topic in ("undecoded", "undecoded/1A2B3C4D5E6F"):
        assert read(f"home/OMG_ESP32_BLE/BTtoMQTT/{topic}", OMG.encode()) == expected


@pytest.mark.parametrize("topic", OTHERS)
def test_what_is_somebody_elses_is_passed_over(topic):
    assert read(topic, OTHERS[topic].encode()) is None


@pytest.mark.parametrize("frame", FRAMES, ids=["alert", "page"])
def test_every_frame_of_a_beacon_comes_through(frame):
    found = read(THEENGS_TOPIC, message(servicedata=frame.hex()))
    assert found.payload == frame
    assert read(THEENGS_TOPIC, message(servicedata=frame.hex().upper())) == found


@pytest.mark.parametrize(
    "uuid", ["f5a1", "F5A1", "0xf5a1", "0xF5A1", "0000f5a1-0000-1000-8000-00805f9b34fb"]
)
def test_uuid_is_taken_as_gateways_write_it(uuid):
    assert read(THEENGS_TOPIC, message(servicedatauuid=uuid)).payload == PAYLOAD
    assert read(THEENGS_TOPIC, message(servicedatauuid=uuid), service_uuid=0xFEAA) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"servicedatauuid": ...}, {"servicedatauuid": None}, {"servicedatauuid": 0xF5A1},
        {"servicedatauuid": ""}, {"servicedatauuid": "f5a10"}, {"servicedatauuid": " f5a1"},
        {"servicedatauuid": "fe95"}, {"servicedatauuid": ["f5a1"]},
        {"servicedatauuid": "0000f5a1-0000-1000-8000-00805f9b34fc"},
        {"servicedatauuid": "\uff46\uff15a1"},
        {"servicedata": ...}, {"servicedata": None}, {"servicedata": ""}, {"servicedata": "2"},
        {"servicedata": "20a"}, {"servicedata": "20 a4"}, {"servicedata": "0x20"},
        {"servicedata": "zz"}, {"servicedata": "20" * 32}, {"servicedata": ["20"]},
        {"servicedata": 20}, {"servicedata": {"f5a1": "20"}}, {"servicedata": "20a4\n"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_exactly_so_is_refused(changed):
    assert read(THEENGS_TOPIC, message(**changed)) is None


@pytest.mark.parametrize("rssi", [..., None, "-71", -71.0, True, 127, 0, -127, -128, 21, 10**400])
def test_a_strength_that_is_none_does_not_cost_the_frame(rssi):
    assert read(THEENGS_TOPIC, message(rssi=rssi)) == Foreign("home/TheengsGateway", PAYLOAD, None)


@pytest.mark.parametrize(
    "topic",
    [
        "", "/", "BTtoMQTT", "BTtoMQTT/x", "/BTtoMQTT/x", "home/gw/BTtoMQTT", "home/gw/BTtoMQTT/",
        "home/gw/BTtoMQTT/a/b/c", "home//BTtoMQTT/x", "home/+/BTtoMQTT/x", "home/#/BTtoMQTT/x",
        "home/gw\n/BTtoMQTT/x", "home/gw\u202e/BTtoMQTT/x", "home/gw/bttomqtt/x",
        "g" * 200 + "/BTtoMQTT/x", "fanal/1/north/up", "home/gw/presence/x",
    ],
    ids=ascii,
)  # fmt: skip
def test_another_topic_is_not_a_gateways(topic):
    assert read(topic, THEENGS.encode()) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"null", b"[]", b"1", b'"x"', b"{", b"{}", b"\xff\xfe", b"[" * 4096, b'{"a":' * 800,
        THEENGS.encode("utf-16"), THEENGS.encode("utf-32"), b"\xef\xbb\xbf" + THEENGS.encode(),
        THEENGS.encode() + b"x", b"[" + THEENGS.encode() + b"]",
        THEENGS.replace("-71", "NaN").encode(), THEENGS.replace("-71", "-Infinity").encode(),
        THEENGS.replace("-71", "1" * 4000).encode()[:4096],
        THEENGS.replace("{", '{"servicedata": "00", ', 1).encode(),
        THEENGS.replace("{", '{"id": "x", ', 1).encode(),
        THEENGS.replace("{", '{"a": {"b": 1, "b": 2}, ', 1).encode(),
    ],
    ids=lambda payload: ascii(payload[:20]),
)  # fmt: skip
def test_what_is_no_plain_object_is_refused(payload):
    assert read(THEENGS_TOPIC, payload) is None


def test_size_is_bounded():
    fits = THEENGS.encode() + b" " * (MOST_MESSAGE_BYTES - len(THEENGS))
    assert read(THEENGS_TOPIC, fits) is not None
    assert read(THEENGS_TOPIC, fits + b" ") is None


def test_it_does_not_raise_when_the_stack_is_almost_full():
    def deep(levels):
        return read(THEENGS_TOPIC, b'{"a":' * 800) if levels == 0 else deep(levels - 1)

    assert deep(sys.getrecursionlimit() // 2) is None


@pytest.mark.parametrize("text", [THEENGS, OMG], ids=["theengs", "omg"])
def test_a_message_cut_short_is_none(text):
    for length in range(len(text)):
        assert read(THEENGS_TOPIC, text[:length].encode()) is None


@pytest.mark.parametrize("text", [THEENGS, OMG], ids=["theengs", "omg"])
def test_a_flipped_bit_never_raises(text):
    for bit in range(8 * len(text)):
        spoilt = bytearray(text.encode())
        spoilt[bit >> 3] ^= 1 << (bit & 7)
        found = read(THEENGS_TOPIC, bytes(spoilt))
        assert found is None or 1 <= len(found.payload) <= 31


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.text(max_size=80) | st.just(THEENGS_TOPIC),
    st.binary(max_size=300)
    | st.fixed_dictionaries(
        {},
        optional={
            "servicedatauuid": json_values | st.just("f5a1"),
            "servicedata": json_values | st.binary(max_size=40).map(bytes.hex),
            "rssi": json_values,
        },
    ).map(lambda fields: json.dumps(fields).encode()),
)
@settings(max_examples=300)
def test_anything_gives_a_frame_of_bounds_or_none(topic, payload):
    found = read(topic, payload)
    if found is not None:
        assert found.gateway.isprintable()
        assert 1 <= len(found.payload) <= 31
        assert found.rssi_dbm is None or -126 <= found.rssi_dbm <= 20
