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
_NONE = 1 << 62  # later than any half hour
_BYTES = [bytes((value,)) for value in range(256)]

Key = tuple[str, int, int]


class Span:
    """A time in which a slot was seen, first_ms to last_ms: gaps up to 2 * NEAR_MS are closed.

    Within such a gap every moment is near one of its ends, so a span is exact.
    """

    __slots__ = ("first_ms", "last_ms")

    def __init__(self, t_ms: int) -> None:
        self.first_ms = self.last_ms = t_ms

    def holds(self, t_ms: int, margin_ms: int) -> bool:
        """Return whether `t_ms` is in it, or at most margin_ms outside."""
        return self.first_ms - margin_ms <= t_ms <= self.last_ms + margin_ms

    def grow(self, t_ms: int, latest_ms: int) -> bool:
        """Reach to `t_ms` and return whether a page that waits may be near for the first time.

        latest_ms: no page that waits is later.
        """
        if t_ms < self.first_ms:
            self.first_ms = t_ms
            return True
        if t_ms > self.last_ms:
            reaches_on = latest_ms > self.last_ms + NEAR_MS
            self.last_ms = t_ms
            return reaches_on
        return False


class SlotPages(Span):
    """What is known of one slot of one event: when it was seen, and its signature's chunks.

    It is its own first span, and almost always the only one.
    """

    __slots__ = ("_others", "_statuses", "chunks", "is_verified", "keys", "rid", "slot")

    def __init__(self, keys: EventKeys, slot: int, rid: bytes, t_ms: int) -> None:
        """t_ms: when it was seen."""
        self.first_ms = self.last_ms = t_ms
        self.keys = keys
        self.slot = slot
        self.rid = rid
        self.is_verified = False
        self.chunks: dict[int, list[bytes]] = {}
        self._statuses = b""  # a byte each
        self._others: tuple[Span, ...] = ()

    def is_near(self, t_ms: int) -> bool:
        """Return whether there is a sighting within half an hour of `t_ms`."""
        return any(span.holds(t_ms, NEAR_MS) for span in (self, *self._others))

    def seen_last_ms(self) -> int:
        """Return when it was seen last."""
        return max(span.last_ms for span in (self, *self._others))

    def see(self, t_ms: int, latest_ms: int) -> bool:
        """Note a sighting; return, and take, what `Span.grow` does."""
        for span in (self, *self._others):
            if span.holds(t_ms, 2 * NEAR_MS):
                return span.grow(t_ms, latest_ms)
        self._others += (Span(t_ms),)
        return True

    def see_later(self, t_ms: int, latest_ms: int) -> bool:
        """Note a sighting as `see` does, if that wakes nothing for sure; return whether it did.

        t_ms: not before one that was seen already.
        """
        if self._others:
            return False
        last_ms = self.last_ms
        if t_ms > last_ms:
            if t_ms > last_ms + 2 * NEAR_MS or latest_ms > last_ms + NEAR_MS:
                return False
            self.last_ms = t_ms
        return True

    def learn_status(self, status: int) -> bool:
        """Note a status whose signed bits may be what was signed; return whether it is new."""
        signed = status & _SIGNED_STATUS
        if signed in self._statuses:
            return False
        self._statuses += _BYTES[signed]
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

    def __init__(self, counts: Counter[str], lot: bytes) -> None:
        """Count losses in `counts`. lot: see `Waiting`."""
        self._slots: dict[Key, SlotPages] = {}
        self._by_half_hour: dict[int, dict[Key, SlotPages]] = {}
        self._oldest = _NONE  # of these half hours
        self._waiting = Waiting(
            counts, "pages", _WAITING_PER_MINUTE, _WAITING_MOST, group=slice(0), lot=lot
        )
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

    def sighted(self, keys: EventKeys, sighting: Sighting) -> tuple[SlotPages, list[Outcome]]:
        """Note a sighting of a slot; return that, and what it makes of the pages that are here."""
        key = (sighting.beacon_id, sighting.event, sighting.slot)
        t_ms = sighting.t_ms
        slot = self._slots.get(key)
        is_new = slot is None
        if slot is None:
            self._forget_before(t_ms - KEPT_MS)
            slot = self._slots[key] = SlotPages(keys, sighting.slot, sighting.rid, t_ms)
        self._seen_at(t_ms)[key] = slot
        outcomes: list[Outcome] = []
        if slot.learn_status(sighting.status) and not slot.is_verified:
            for page, chunk in [(p, c) for p, cs in slot.chunks.items() for c in cs]:
                outcomes += self._verify(slot, page, chunk, t_ms)
        if (is_new or slot.see(t_ms, self._latest_ms)) and self._waiting:
            outcomes += self._wake(slot)
        return slot, outcomes

    def sighted_again(self, slot: SlotPages, t_ms: int) -> bool:
        """Note one more sighting, not before one in the same half hour of the clock.

        False: it may wake what waits, and `sighted` is to be asked.
        """
        return slot.see_later(t_ms, self._latest_ms)

    def recall(
        self, keys: EventKeys, slot: int, rid: bytes, status: int, times_ms: tuple[int, int],
        is_verified: bool,
    ) -> None:  # fmt: skip
        """Take up a slot that was seen before a restart. times_ms: first and last, see `Seen`."""
        key = (keys.beacon_id, keys.event, slot)
        known = self._slots.setdefault(key, SlotPages(keys, slot, rid, times_ms[0]))
        known.is_verified = known.is_verified or is_verified
        known.learn_status(status)
        for t_ms in times_ms:
            self._seen_at(t_ms)[key] = known
            known.see(t_ms, 0)

    def _seen_at(self, t_ms: int) -> dict[Key, SlotPages]:
        """Return the slots that were seen in a half hour of the clock, to add to."""
        half_hour = t_ms // NEAR_MS
        seen = self._by_half_hour.get(half_hour)
        if seen is None:
            seen = self._by_half_hour[half_hour] = {}
            self._oldest = min(self._oldest, half_hour)
        return seen

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
        if (self._oldest + 1) * NEAR_MS >= t_ms:
            return
        for half_hour in [h for h in self._by_half_hour if (h + 1) * NEAR_MS < t_ms]:
            for key, slot in self._by_half_hour.pop(half_hour).items():
                if slot.seen_last_ms() < t_ms:
                    self._slots.pop(key, None)
        self._oldest = min(self._by_half_hour, default=_NONE)


def _matched(slot: SlotPages, heard: Heard, kind: str, page: int, is_new: bool) -> PageMatched:
    keys = slot.keys
    have = len(slot.chunks)
    return PageMatched(keys.beacon_id, keys.event, slot.slot, kind, page, have, is_new,
                       heard.rssi_dbm, heard.t_ms)  # fmt: skip
