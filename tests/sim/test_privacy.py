"""A scanner without keys on the air of three beacons for a day: it must not link two slots.

The same looks must find every leak that is planted into the same recording: a look that finds
nothing in a leaking recording would prove nothing in a clean one.
"""

import asyncio
import json

import pytest
from fanal.board_link import BoardLink
from fanal_protocol import advert, keys, slot

from tests.sim import linking
from tests.sim.linking import Packet, Slot

pytest.importorskip("bumble", reason="needs the extra `sim`")

from fanal.sim import clock
from fanal.sim.world import World

pytestmark = pytest.mark.sim

# One short burst in every slot of a whole day, so that all 96 are on air and time flies.
SETTINGS = {
    "profile": "carried", "alert_s": 10, "track_period_s": 900, "burst_s": 8, "frame_ms": 200,
    "window_s": 5, "battery_low_mv": 3000,
}  # fmt: skip
BEACONS = {"north": 3900, "south": 3300, "west": 2960}  # battery in mV: a leak would show it
DAY_S = 86400


def _provision(port: str, event_key: bytes) -> None:
    with BoardLink(port) as board:
        board.call("create_identity")
        board.call("provision", event_key.hex())
        board.call("configure", json.dumps(SETTINGS))


async def _day_on_air() -> linking.Recording:
    """Return everything that three beacons sent in a day, grouped by the truth."""
    async with World(seed=5) as world:
        first_keys = {name: bytes((number,)) * 32 for number, name in enumerate(BEACONS, 1)}
        frames = []
        boards = {name: world.add_board(name) for name in BEACONS}
        with world.at_pace():
            await asyncio.gather(
                *(asyncio.to_thread(_provision, boards[n].port, first_keys[n]) for n in BEACONS)
            )
        for name, battery_mv in BEACONS.items():
            boards[name].battery(battery_mv)
        world.air.tap(frames.append)
        await world.run_for(30)
        for board in boards.values():
            board.squeeze("hold")
            await world.run_for(1200)
        await world.run_for(DAY_S - 1200)
    names = {rid: truth for n in BEACONS for rid, truth in _rids(n, first_keys[n])}
    return _grouped(frames, names)


def _rids(beacon: str, event_key: bytes):
    rid_key = keys.rid_key(event_key)
    return [(slot.rid(rid_key, s), Slot(beacon, 1, s)) for s in range(slot.SLOTS)]


def _grouped(frames, truth_of) -> linking.Recording:
    """Group by the truth, which pages do not carry: it is that of the sender's nearest alert."""
    recording: linking.Recording = {}
    for sender in {frame.sender for frame in frames}:
        packets = [
            Packet(f.t_ms, f.address.hex(), advert.unwrap(f.data))
            for f in frames
            if f.sender == sender
        ]
        alerts = [(p, truth_of[p.payload[1:9]]) for p in packets if len(p.payload) == 23]
        owner = {packet.address: truth for packet, truth in alerts}
        for packet in packets:
            truth = owner.get(packet.address)
            if truth is None:  # a burst that began at the end of a unit, with a page
                truth = min(alerts, key=lambda alert: abs(alert[0].t_ms - packet.t_ms))[1]
            recording.setdefault(truth, []).append(packet)
    return recording


@pytest.fixture(scope="module")
def day() -> linking.Recording:
    return clock.run_virtual(_day_on_air())


def changed(day, payload=lambda p, s: p.payload, address=lambda p, s: p.address):
    """Return the recording with other payloads or addresses: with a leak."""
    return {
        s: [p._replace(payload=payload(p, s), address=address(p, s)) for p in packets]
        for s, packets in day.items()
    }


def with_byte(packet: Packet, at: int, value: int, size: int = 23) -> bytes:
    payload = packet.payload
    return payload[:at] + bytes((value,)) + payload[at + 1 :] if len(payload) == size else payload


def test_the_recording_is_worth_looking_at(day):
    assert {s.beacon for s in day} == set(BEACONS)
    assert all(sum(s.beacon == beacon for s in day) >= 95 for beacon in BEACONS)
    for packets in day.values():
        assert {len(p.payload) for p in packets} == {23, 27}


@pytest.mark.parametrize(
    "look",
    [linking.repeated_strings, linking.repeated_addresses, linking.mixed_identifiers,
     linking.counters, linking.lengths, linking.biased_bytes],
    ids=lambda look: look.__name__,
)  # fmt: skip
def test_nothing_links_two_slots(day, look):
    assert look(day) == []


# What firmware that is wrong in one place would send. Each must be found by one look at least.
LEAKS = {
    "an identifier that stays for an event": (
        linking.repeated_strings,
        lambda p, s: p.payload[:1] + s.beacon[:4].encode() * 2 + p.payload[9:]
        if len(p.payload) == 23 else p.payload,
    ),
    "one byte of the identifier that stays": (
        linking.biased_bytes,
        lambda p, s: with_byte(p, 8, s.beacon[0].encode()[0]),
    ),
    "battery in clear": (
        linking.biased_bytes,
        lambda p, s: with_byte(p, 11, BEACONS[s.beacon] // 20),
    ),
    "a drill bit in clear": (
        linking.biased_bytes,
        lambda p, s: with_byte(p, 11, p.payload[11] & 0xEF | (s.beacon == "west") << 4),
    ),
    "a sequence without its mask": (
        linking.counters,
        lambda p, s: p.payload[:9] + (p.t_ms // 2000 % 450).to_bytes(2, "big") + p.payload[11:]
        if len(p.payload) == 23 else p.payload,
    ),
    "pages without a veil": (
        linking.repeated_strings,
        lambda p, s: p.payload[:2] + (s.beacon.encode() * 5)[:22] + p.payload[24:]
        if len(p.payload) == 27 else p.payload,
    ),
    "a name behind some packets": (
        linking.lengths,
        lambda p, s: p.payload + b"F" if s.slot == 3 else p.payload,
    ),
}  # fmt: skip


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_found(day, leak):
    look, payload = LEAKS[leak]
    assert look(changed(day, payload=payload))


def test_an_address_that_stays_is_found(day):
    leaking = changed(day, address=lambda p, s: f"{ord(s.beacon[0]) & 0x3F:02x}0000000000")
    assert linking.repeated_addresses(leaking)
    assert linking.mixed_identifiers(leaking)


def test_a_public_address_is_found(day):
    leaking = changed(day, address=lambda p, s: "c0" + p.address[2:])
    assert linking.repeated_addresses(leaking)
