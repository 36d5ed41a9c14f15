"""A scanner without keys: what can it link in a recording? Every function returns findings.

The recording is grouped by the truth, (beacon, event, slot), which the scanner does not have;
the groups serve only to ask "would this observation have told the scanner so?". A finding is a
sentence; an empty list means that nothing was found.
"""

import random
from collections import Counter, defaultdict
from itertools import combinations
from typing import NamedTuple

# Two random 5-byte strings of two slots coincide once in 2**40; a slot has some 10**4.
STRING_BYTES = 5
UNITS = 450
SHUFFLES = 60
# The pairs of all slots of a day are many more than it takes to see a bit that stays.
EVERY = 3


class Packet(NamedTuple):
    """One packet as it was on air: address 6 bytes as hex text, payload without AD headers."""

    t_ms: int
    address: str
    payload: bytes


class Slot(NamedTuple):
    """The truth behind a group of packets."""

    beacon: str
    event: int
    slot: int


Recording = dict[Slot, list[Packet]]


def repeated_strings(recording: Recording) -> list[str]:
    """Find byte strings of the payload (after the header byte) seen in more than one slot."""
    seen: dict[bytes, Slot] = {}
    findings = []
    for slot, packets in recording.items():
        strings = set()
        for payload in {packet.payload for packet in packets}:
            last = len(payload) - STRING_BYTES
            strings |= {payload[i : i + STRING_BYTES] for i in range(1, last + 1)}
        for string in strings:
            other = seen.setdefault(string, slot)
            if other != slot:
                findings.append(f"{string.hex()} in {other} and {slot}")
    return findings


def repeated_addresses(recording: Recording) -> list[str]:
    """Find addresses of more than one slot, and any that is not non-resolvable private."""
    owner: dict[str, Slot] = {}
    findings = []
    for slot, packets in recording.items():
        for address in {packet.address for packet in packets}:
            if owner.setdefault(address, slot) != slot:
                findings.append(f"address {address} in {owner[address]} and {slot}")
            if bytes.fromhex(address)[0] & 0xC0:
                findings.append(f"address {address} is not non-resolvable private")
    return findings


def mixed_identifiers(recording: Recording) -> list[str]:
    """Find addresses from which more than one RID was sent: they would join two slots."""
    rids = defaultdict(set)
    for packets in recording.values():
        for packet in packets:
            if len(packet.payload) == 23:
                rids[packet.address].add(packet.payload[1:9])
    return [f"address {a} sent {len(r)} identifiers" for a, r in rids.items() if len(r) > 1]


def counters(recording: Recording) -> list[str]:
    """Find slots whose masked sequence stands in the same relation to the clock."""
    offsets = {}
    for slot, packets in recording.items():
        alerts = [p for p in packets if len(p.payload) == 23]
        if alerts:
            first = alerts[0]
            q = int.from_bytes(first.payload[9:11], "big")
            offsets[slot] = (q - first.t_ms // 2000) % UNITS
    pairs = list(combinations(offsets.values(), 2))
    close = sum(1 for a, b in pairs if (a - b) % UNITS in (0, 1, UNITS - 1))
    # Three of 450 by chance; eight standard deviations above that is no chance.
    expected = len(pairs) * 3 / UNITS
    if close > expected + 8 * expected**0.5 + 8:
        return [f"{close} of {len(pairs)} pairs of slots count alike, {expected:.0f} expected"]
    return []


def lengths(recording: Recording) -> list[str]:
    """Find payload lengths or headers beyond the three that every beacon uses."""
    forms = Counter(
        (len(p.payload), p.payload[0]) for packets in recording.values() for p in packets
    )
    usual = {(23, 0x20), (27, 0x28), (27, 0x30)}
    return [f"{count} packets of form {form}" for form, count in forms.items() if form not in usual]


def biased_bytes(recording: Recording, seed: int = 1) -> list[str]:
    """Find byte positions that are more alike between slots of one beacon than between beacons.

    For each kind of packet and each position the likeness of two slots is the chance that a
    byte drawn from each is the same. The mean over pairs of slots of one beacon is compared
    with the same mean after the beacons' names were shuffled among the slots.
    """
    findings: list[str] = []
    slots = [slot for slot in recording if slot.slot % EVERY == 0]
    for size in (23, 27):
        columns = {s: _columns(recording[s], size) for s in slots}
        for at in range(1, size):
            likeness = {
                (a, b): _likeness(columns[a][at], columns[b][at]) for a, b in combinations(slots, 2)
            }
            if _stands_out(likeness, slots, random.Random(seed)):
                findings.append(f"byte {at} of payloads of {size} bytes tells the beacon")
    return findings


def everything(recording: Recording) -> list[str]:
    """Return the findings of every way of linking that is tried here."""
    tries = (
        repeated_strings, repeated_addresses, mixed_identifiers, counters, lengths, biased_bytes,
    )  # fmt: skip
    return [finding for look in tries for finding in look(recording)]


def _columns(packets: list[Packet], size: int) -> list[dict[int, float]]:
    """Return, for each position, the share of each value among the distinct payloads."""
    payloads = {p.payload for p in packets if len(p.payload) == size}
    columns = []
    for at in range(size):
        counts = Counter(payload[at] for payload in payloads)
        total = sum(counts.values())
        columns.append({value: count / total for value, count in counts.items()})
    return columns


def _likeness(a: dict[int, float], b: dict[int, float]) -> float:
    return sum(share * b.get(value, 0.0) for value, share in a.items())


def _stands_out(
    likeness: dict[tuple[Slot, Slot], float], slots: list[Slot], rng: random.Random
) -> bool:
    def mean_within(names: list[str]) -> float:
        name = dict(zip(slots, names, strict=True))
        within = [value for (a, b), value in likeness.items() if name[a] == name[b]]
        return sum(within) / max(len(within), 1)

    names = [slot.beacon for slot in slots]
    true = mean_within(names)
    shuffled = []
    for _ in range(SHUFFLES):
        rng.shuffle(names)
        shuffled.append(mean_within(names))
    mean = sum(shuffled) / SHUFFLES
    deviation = (sum((value - mean) ** 2 for value in shuffled) / SHUFFLES) ** 0.5
    return true > mean + 7 * deviation + 1e-9
