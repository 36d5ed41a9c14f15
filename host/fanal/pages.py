"""Signature and crumb pages: whose they are, kept, put together, verified. SPEC 3.3.

A page names nobody. It is tried against every slot that has a sighting within half an hour of
it, and waits if none fits. Its check is three bytes, so it may lie: a signature that does not
verify discards nothing, and every other triple of chunks still gets its chance.
"""

from collections import Counter, deque
from collections.abc import Iterator
from heapq import nsmallest
from itertools import combinations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fanal_protocol import crumb, frame, signature
from fanal_protocol.error import PageError, TagError

from fanal.event_keys import EventKeys
from fanal.heard import Heard
from fanal.sighting import (
    CrumbFound,
    Outcome,
    PageMatched,
    Refusal,
    Sighting,
    SignatureVerified,
)
from fanal.waiting import KEPT_MS, Waiting

NEAR_MS = 30 * 60 * 1000
TRIPLES = 64  # for each new chunk

_MOST_CHUNKS = 64  # per page number; a wrong one costs its sender 2**24 tries
_SIGNED_STATUS = 0xF0
_WAITING_PER_MINUTE = 480
_WAITING_MOST = 20_000
_MOST_OWNERS = 20_000

Key = tuple[str, int, int]


class SlotPages:
    """What is known of one slot of one event: when it was seen, and its signature's chunks."""

    def __init__(self, keys: EventKeys, slot: int, rid: bytes) -> None:
        self.keys = keys
        self.slot = slot
        self.rid = rid
        self.is_verified = False
        self.chunks: dict[int, list[bytes]] = {}
        self._statuses: list[int] = []
        self._spans: list[list[int]] = []  # [first, last] ms; gaps up to 2 * NEAR_MS are closed

    def is_near(self, t_ms: int) -> bool:
        """Return whether there is a sighting within half an hour of `t_ms`."""
        return any(first - NEAR_MS <= t_ms <= last + NEAR_MS for first, last in self._spans)

    def last_ms(self) -> int:
        """Return when it was seen last."""
        return max(last for _, last in self._spans)

    def see(self, t_ms: int, latest_ms: int) -> bool:
        """Note a sighting and return whether a page that waits may be near for the first time.

        latest_ms: no page that waits is later.
        """
        for span in self._spans:
            if span[0] - 2 * NEAR_MS <= t_ms <= span[1] + 2 * NEAR_MS:
                # within such a gap every moment is near one of its ends, so a span is exact
                reaches_back = t_ms < span[0]
                reaches_on = t_ms > span[1] and latest_ms > span[1] + NEAR_MS
                span[0], span[1] = min(span[0], t_ms), max(span[1], t_ms)
                return reaches_back or reaches_on
        self._spans.append([t_ms, t_ms])
        return True

    def see_later(self, t_ms: int, latest_ms: int) -> bool:
        """Note a sighting as `see` does, if that wakes nothing for sure; return whether it did."""
        if len(self._spans) != 1:
            return False
        span = self._spans[0]
        if t_ms > span[1]:
            if t_ms > span[1] + 2 * NEAR_MS or latest_ms > span[1] + NEAR_MS:
                return False
            span[1] = t_ms
        return t_ms >= span[0]

    def learn_status(self, status: int) -> bool:
        """Note a status whose signed bits may be what was signed; return whether it is new."""
        if status & _SIGNED_STATUS in self._statuses:
            return False
        self._statuses.append(status & _SIGNED_STATUS)
        return True

    def add(self, page: int, chunk: bytes) -> bool:
        """Keep a chunk and return whether it is new and there was room."""
        known = self.chunks.setdefault(page, [])
        if chunk in known or len(known) >= _MOST_CHUNKS:
            return False
        known.append(chunk)
        return True

    def verified(self, page: int, chunk: bytes) -> tuple[bytes, int] | None:
        """Return (signature of 64 bytes, signed status) from a triple with this chunk, or None."""
        public_key = Ed25519PublicKey.from_public_bytes(self.keys.public_key)
        for pair in self._pairs(page):
            try:
                signed = signature.assemble({page: chunk, **pair}, self.keys.page_key, self.rid)
            except TagError:
                continue
            for status in self._statuses:
                text = signature.message(self.keys.event, self.slot, self.rid, status)
                try:
                    public_key.verify(signed, text)
                except InvalidSignature:
                    continue
                return signed, status
        return None

    def _pairs(self, page: int) -> Iterator[dict[int, bytes]]:
        """Yield two chunks of two other pages, TRIPLES times at most, the last to come first.

        So an early wrong chunk cannot use up the tries of all that follow it.
        """
        others = [
            (age, number, chunk)
            for number, chunks in self.chunks.items()
            if number != page
            for age, chunk in enumerate(reversed(chunks))
        ]
        pairs = (p for p in combinations(others, 2) if p[0][1] != p[1][1])
        for one, two in nsmallest(TRIPLES, pairs, key=lambda p: p[0][0] + p[1][0]):
            yield {one[1]: one[2], two[1]: two[2]}


class Pages:
    """All slots that were seen in the last 48 hours, and all pages that wait for one.

    found: pages that waited and the slots that turned out to be theirs, until somebody clears it;
    the newest 20,000.
    """

    def __init__(self, counts: Counter[str]) -> None:
        """Count losses in `counts`."""
        self._slots: dict[Key, SlotPages] = {}
        self._by_half_hour: dict[int, dict[Key, SlotPages]] = {}
        self._waiting = Waiting(counts, "pages", _WAITING_PER_MINUTE, _WAITING_MOST, slice(0))
        self._owners: dict[bytes, SlotPages] = {}  # of pages seen lately: they repeat all the time
        self._crumbs: set[tuple[str, int, int]] = set()
        self._latest_ms = 0  # of any page that waits
        self.found: deque[tuple[bytes, Key]] = deque(maxlen=_WAITING_MOST)

    def take(self, heard: Heard, found: frame.SignatureFrame | frame.CrumbFrame) -> list[Outcome]:
        """Return whose page it is and what it completed, or the refusal under which it waits."""
        reason = "unknown"
        for slot in self._near(heard):
            try:
                outcomes = self._open(slot, heard, found)
            except TagError:
                reason = "tag"
            except PageError:
                reason = "page" if reason == "unknown" else reason
            else:
                self._waiting.remove(heard.payload)
                return outcomes
        return [Refusal(reason, heard, self.keep(heard))]

    def keep(self, heard: Heard) -> bool:
        """Let a page wait that is nobody's as yet, and return whether it does."""
        self._latest_ms = max(self._latest_ms, heard.t_ms)
        return self._waiting.keep(heard)

    def sighted(self, keys: EventKeys, sighting: Sighting) -> list[Outcome]:
        """Note a sighting of a slot and return what it makes of the pages that are here."""
        key = (sighting.beacon_id, sighting.event, sighting.slot)
        slot = self._slots.get(key)
        if slot is None:
            self._forget_before(sighting.t_ms - KEPT_MS)
            slot = self._slots[key] = SlotPages(keys, sighting.slot, sighting.rid)
        self._by_half_hour.setdefault(sighting.t_ms // NEAR_MS, {})[key] = slot
        outcomes: list[Outcome] = []
        if slot.learn_status(sighting.status) and not slot.is_verified:
            for page, chunk in [(p, c) for p, cs in slot.chunks.items() for c in cs]:
                outcomes += self._verify(slot, page, chunk, sighting.t_ms)
        if slot.see(sighting.t_ms, self._latest_ms):
            outcomes += self._wake(slot)
        return outcomes

    def sighted_again(self, slot: SlotPages, t_ms: int) -> bool:
        """Note one more sighting within a half hour of the clock in which the slot was seen.

        False: it may wake what waits, and `sighted` is to be asked.
        """
        return slot.see_later(t_ms, self._latest_ms)

    def slot_of(self, sighting: Sighting) -> SlotPages:
        """Return the slot of a sighting that was told of."""
        return self._slots[sighting.beacon_id, sighting.event, sighting.slot]

    def recall(
        self, keys: EventKeys, slot: int, rid: bytes, status: int, times_ms: tuple[int, int],
        is_verified: bool,
    ) -> None:  # fmt: skip
        """Take up a slot that was seen before a restart. times_ms: first and last, see `Seen`."""
        known = self._slots.setdefault(
            (keys.beacon_id, keys.event, slot), SlotPages(keys, slot, rid)
        )
        known.is_verified = known.is_verified or is_verified
        known.learn_status(status)
        for t_ms in times_ms:
            self._by_half_hour.setdefault(t_ms // NEAR_MS, {})[keys.beacon_id, keys.event, slot] = (
                known
            )
            known.see(t_ms, 0)

    def _near(self, heard: Heard) -> list[SlotPages]:
        """Return the slots with a sighting within half an hour of a page."""
        owner = self._owners.get(heard.payload)
        if owner is not None and owner.is_near(heard.t_ms):
            return [owner]
        half_hour = heard.t_ms // NEAR_MS
        near: dict[Key, SlotPages] = {}
        for at in (half_hour, half_hour - 1, half_hour + 1):
            near.update(self._by_half_hour.get(at, {}))
        return [slot for slot in near.values() if slot.is_near(heard.t_ms)]

    def _wake(self, slot: SlotPages) -> list[Outcome]:
        """Try every page that waits and is near enough against one slot."""
        outcomes: list[Outcome] = []
        keys = slot.keys
        for times in self._waiting.each():
            for heard in times:
                if slot.is_near(heard.t_ms):
                    try:
                        outcomes += self._open(slot, heard, frame.decode(heard.payload))
                    except (TagError, PageError):
                        break
                    self._waiting.remove(heard.payload)
                    self.found.append((heard.payload, (keys.beacon_id, keys.event, slot.slot)))
                    break
        return outcomes

    def _open(
        self, slot: SlotPages, heard: Heard, found: frame.SignatureFrame | frame.CrumbFrame
    ) -> list[Outcome]:
        """Take a page of this slot. Raises TagError, PageError if it is of another one."""
        if isinstance(found, frame.SignatureFrame):
            outcomes = self._open_chunk(slot, heard, found)
        else:
            outcomes = self._open_crumb(slot, heard, found)
        if len(self._owners) >= _MOST_OWNERS:
            self._owners.clear()
        self._owners[heard.payload] = slot
        return outcomes

    def _open_chunk(
        self, slot: SlotPages, heard: Heard, found: frame.SignatureFrame
    ) -> list[Outcome]:
        chunk = signature.open_page(slot.keys.page_key, slot.rid, found)
        is_new = slot.add(found.page, chunk)
        outcomes: list[Outcome] = [_matched(slot, heard, "signature", found.page, is_new)]
        if is_new and not slot.is_verified:
            outcomes += self._verify(slot, found.page, chunk, heard.t_ms)
        return outcomes

    def _verify(self, slot: SlotPages, page: int, chunk: bytes, t_ms: int) -> list[Outcome]:
        if slot.is_verified:
            return []
        found = slot.verified(page, chunk)
        if found is None:
            return []
        slot.is_verified = True
        keys = slot.keys
        return [
            SignatureVerified(keys.beacon_id, keys.event, slot.slot, found[0], slot.rid, found[1],
                              t_ms)
        ]  # fmt: skip

    def _open_crumb(self, slot: SlotPages, heard: Heard, found: frame.CrumbFrame) -> list[Outcome]:
        keys = slot.keys
        index, sealed = crumb.unveil(keys.page_key, slot.rid, found)
        opened = crumb.open_crumb(keys.crumb_key(index), keys.event, index, sealed)
        is_new = (keys.beacon_id, keys.event, index) not in self._crumbs
        outcomes: list[Outcome] = [_matched(slot, heard, "crumb", index, is_new)]
        if is_new:
            self._crumbs.add((keys.beacon_id, keys.event, index))
            age_s = 2 * opened.age_2s
            outcomes.append(
                CrumbFound(keys.beacon_id, keys.event, index, age_s, opened.seen, opened.aps,
                           heard.t_ms)
            )  # fmt: skip
        return outcomes

    def _forget_before(self, t_ms: int) -> None:
        """Forget the slots that no page in waiting can be near to."""
        for half_hour in [h for h in self._by_half_hour if (h + 1) * NEAR_MS < t_ms]:
            for key, slot in self._by_half_hour.pop(half_hour).items():
                if slot.last_ms() < t_ms:
                    self._slots.pop(key, None)


def _matched(slot: SlotPages, heard: Heard, kind: str, page: int, is_new: bool) -> PageMatched:
    keys = slot.keys
    have = len(slot.chunks)
    return PageMatched(keys.beacon_id, keys.event, slot.slot, kind, page, have, is_new,
                       heard.rssi_dbm, heard.t_ms)  # fmt: skip
