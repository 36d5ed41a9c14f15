"""What others do with a packet, for bench/resolver.py: each in the same run on the same machine."""

import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from fanal import layout
from fanal.event_keys import EventKeys
from fanal_protocol import advert, alert, frame, keys, slot
from fanal_protocol.error import TagError

_PACKETS = 3000
_NAIVE_BEACONS = 100  # each with four events
_ROUNDS = 3


def per_s(take: Callable[[Any], object], packets: Sequence[Any]) -> float:
    """Return packets per CPU second, the best of three rounds."""
    best = 0.0
    for _ in range(_ROUNDS):
        began_s = time.process_time()
        for packet in packets:
            take(packet)
        best = max(best, len(packets) / (time.process_time() - began_s))
    return best


def peers(seed: int) -> dict[str, dict[str, Any]]:
    """Return, by name, packets per second and what was done with them."""
    found: dict[str, dict[str, Any]] = {}
    for name, measure in (("beacontools", _beacontools), ("bthome-ble", _bthome)):
        try:
            found[name] = measure()
        except ImportError as missing:
            print(f"{name} is left out: {missing}", file=sys.stderr)
    found["construct"] = _construct(seed)
    found["every key"] = _every_key(seed)
    return found


def _beacontools() -> dict[str, Any]:
    from beacontools import parse_packet

    packets = [
        b"\x02\x01\x1a\x1a\xff\x4c\x00\x02\x15" + hashlib.md5(b"%d" % n).digest()
        + n.to_bytes(2, "big") + b"\x00\x07\xc5"
        for n in range(_PACKETS)
    ]  # fmt: skip
    assert parse_packet(packets[1]).major == 1
    return {"per_s": per_s(parse_packet, packets), "what": "parses an iBeacon"}


def _bthome() -> dict[str, Any]:
    from bthome_ble import BTHomeBluetoothDeviceData
    from habluetooth import BluetoothServiceInfoBleak

    key, mac = bytes(range(16)), "54:48:E6:8F:80:A5"
    cipher, packets = AESCCM(key, tag_length=4), []
    for count in range(1, _PACKETS * _ROUNDS + 1):
        counter = count.to_bytes(4, "little")
        nonce = bytes.fromhex(mac.replace(":", "")) + b"\xd2\xfc\x41" + counter
        sealed = cipher.encrypt(nonce, b"\x02\xca\x09\x03\xbf\x13", b"")
        data = b"\x41" + sealed[:-4] + counter + sealed[-4:]
        packets.append(BluetoothServiceInfoBleak(
            name="x", address=mac, rssi=-60, manufacturer_data={}, service_uuids=[], source="",
            service_data={"0000fcd2-0000-1000-8000-00805f9b34fb": data}, device=None,
            advertisement=None, connectable=False, time=float(count), tx_power=None,
        ))  # fmt: skip
    device = BTHomeBluetoothDeviceData(bindkey=key)
    began_s = time.process_time()
    for packet in packets:
        device.update(packet)
    took_s = time.process_time() - began_s
    assert device.bindkey_verified
    return {"per_s": len(packets) / took_s, "what": "decrypts for the one device it is told of"}


def _beacon(seed: int, number: int) -> EventKeys:
    secret = hashlib.sha512(b"peer %d %d" % (seed, number)).digest()
    return EventKeys(keys.beacon_id(secret[:32]), secret[:32], 1, secret[32:])


def _payload(event_keys: EventKeys, seq: int) -> bytes:
    rid, mask = event_keys.rid_and_mask(0)
    return alert.seal(event_keys.alert_key, rid, slot.masked(seq, mask), alert.Alert(32, 9, 0, 0))


def _construct(seed: int) -> dict[str, Any]:
    ours = _beacon(seed, 0)
    packets = [advert.wrap(_payload(ours, seq)) for seq in range(450)]
    assert layout.ADVERT.parse(packets[0])
    return {"per_s": per_s(layout.ADVERT.parse, packets), "what": "parses ours, layout.py"}


def _every_key(seed: int) -> dict[str, Any]:
    """Try every key, as one does without a table: here of 100 beacons with four events each."""
    fleet = [_beacon(seed, number).ahead(event)
             for number in range(_NAIVE_BEACONS) for event in range(1, 5)]  # fmt: skip
    packets = [_payload(fleet[n * 7919 % len(fleet)], n % 450) for n in range(200)]

    def resolve(packet: bytes) -> EventKeys:
        found = frame.decode(packet)
        for event_keys in fleet:
            try:
                event_keys.open_alert(found)
            except TagError:
                continue
            return event_keys
        raise AssertionError("it is one of them")

    speed = per_s(resolve, packets)
    return {"per_s": speed, "what": f"tries the keys of {_NAIVE_BEACONS} beacons; of a million "
            f"beacons one packet would take {1e6 / _NAIVE_BEACONS / speed:,.0f} s",
            "beacons": _NAIVE_BEACONS}  # fmt: skip
