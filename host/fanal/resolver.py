"""Heard in; sightings, signatures and named refusals out. No clock, no I/O. SPEC 3.

The order of work is the order of trust: form, identifier, tag, then time. Only a frame whose
tag was good and that is no replay moves anything.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from fanal_protocol import alert, frame, keys, slot
from fanal_protocol.error import Refused, TagError
from fanal_protocol.line import REPLAY, Entry

from fanal.event_keys import EventKeys, all_rids
from fanal.heard import Heard
from fanal.pages import Pages
from fanal.sighting import CrumbFound, Outcome, PageMatched, Refusal, Sighting, SignatureVerified
from fanal.waiting import Waiting
from fanal.watch import Beacon, Event, Watch

WINDOW = 2
DEEPEST = 1024  # events beyond the window in which a waiting alert is looked for

_RID_AT = slice(1, 1 + slot.RID_BYTES)
_WAITING_PER_MINUTE = 240
_WAITING_MOST = 20_000


# by (beacon id, event): (t_ms, slot, seq) each
Lines = Mapping[tuple[str, int], Sequence[tuple[int, int, int]]]


class Seen(NamedTuple):
    """A slot of an event as it was seen before a restart, within one half hour of the clock.

    rid: 8 bytes; status: one that was seen; first_ms, last_ms: of its sightings, replays too;
    is_verified: whether its signature was complete.
    """

    beacon_id: str
    event: int
    slot: int
    rid: bytes
    status: int
    first_ms: int
    last_ms: int
    is_verified: bool


class Resolver:
    """Resolves what a listener hears against the beacons it watches.

    `counts` has, by name, every sighting's verdict, every refusal's reason, and what was lost
    to a bound: `alerts_crowded`, `alerts_evicted`, `pages_crowded` and so on.
    """

    def __init__(
        self,
        watched: Iterable[EventKeys],
        lines: Lines | None = None,
        *,
        window: int = WINDOW,
        behind: int = 1,
    ) -> None:
        """Watch some beacons.

        watched: for each beacon the first event that can be resolved, with its key: usually 1.
        lines: by (beacon id, event) the (t_ms, slot, seq) held as genuine so far, so that a
        restart forgets no replay. window: events beyond the newest to expect, at least 2; behind:
        events before it to recognise, at least 1.
        """
        self.counts: Counter[str] = Counter()
        self._watch = Watch(window, behind)
        self._waiting = Waiting(
            self.counts, "alerts", _WAITING_PER_MINUTE, _WAITING_MOST, group=_RID_AT
        )
        self._pages = Pages(self.counts)
        self._woken: deque[Heard] = deque()
        self._unsearched: set[bytes] = set()
        self._search: Iterator[list[Outcome]] | None = None
        self.watch(watched, lines)

    def watch(
        self,
        watched: Iterable[EventKeys],
        lines: Lines | None = None,
        hearsay: Lines | None = None,
    ) -> None:
        """Watch more beacons, as when made; what waited for them comes with the next search.

        hearsay: of `lines`, what had `Receipt.is_hearsay` instead.
        """
        held, said = _by_beacon(lines or {}), _by_beacon(hearsay or {})
        for anchor in watched:
            own = anchor.beacon_id
            for added in self._watch.add(anchor, held.get(own, {}), said.get(own, {})):
                self._woken.extend(self._waiting_for(added))
        self._unsearched.update(self._waiting.groups)

    def recall(self, seen: Iterable[Seen]) -> None:
        """Take up what was seen before a restart, so that its pages are known again.

        An event outside of the window is passed by: its keys are gone.
        """
        events = [event for beacon in self._watch.beacons for event in beacon.events.values()]
        keys_of = {(event.keys.beacon_id, event.number): event.keys for event in events}
        for one in seen:
            event_keys = keys_of.get((one.beacon_id, one.event))
            if event_keys is not None:
                self._pages.recall(event_keys, one.slot, one.rid, one.status,
                                   (one.first_ms, one.last_ms), one.is_verified)  # fmt: skip

    def let_go(self, anchors: Mapping[str, EventKeys]) -> None:
        """Forget the keys of all events before these, by beacon id."""
        self._watch.let_go(anchors)

    def keep_page(self, heard: Heard) -> None:
        """Let a page wait that was nobody's before a restart: all there was has been tried."""
        self._pages.keep(heard)

    def found_pages(self) -> list[tuple[bytes, tuple[str, int, int]]]:
        """Return the pages that waited and whose they are (beacon, event, slot), each once."""
        found = list(self._pages.found)
        self._pages.found.clear()
        return found

    @property
    def has_unsearched(self) -> bool:
        """Whether an alert waits that was not looked for in every event up to DEEPEST."""
        return bool(self._search or self._unsearched or self._woken)

    def take(self, heard: Heard) -> list[Outcome]:
        """Return what one Heard is, first, and then all that it made clear of what waited."""
        try:
            found = frame.decode(heard.payload)
        except Refused as refused:
            return self._counted([Refusal(refused.reason, heard)])
        if isinstance(found, frame.AlertFrame):
            return self._counted(self._alerts(deque([heard])))
        return self._counted(self._pages.take(heard, found))

    def search_deeper(self, budget: int) -> list[Outcome]:
        """Look for waiting alerts in up to `budget` events beyond the windows.

        Breadth first over all beacons; each call goes on where the last one stopped. An event
        costs about 50 us. Return what was found, as `take` does.
        """
        outcomes = self._alerts(self._woken)
        for _ in range(budget):
            if self._search is None:
                if not self._unsearched:
                    break
                self._search = self._events_beyond()
            step = next(self._search, None)
            if step is None:
                self._search = None
            else:
                outcomes += step
        return self._counted(outcomes)

    def _alerts(self, queue: deque[Heard]) -> list[Outcome]:
        """Resolve alerts one after another; what a window that moves wakes joins the queue."""
        outcomes: list[Outcome] = []
        while queue:
            heard = queue.popleft()
            found = frame.decode(heard.payload)
            reason = "unknown"
            for event, of_slot in self._watch.candidates(found.rid):
                reason = "tag"
                try:
                    plain = alert.open_alert(event.keys.alert_key, found)
                except TagError:
                    continue
                outcomes += self._sighted(heard, found, event, of_slot, plain, queue)
                break
            else:
                outcomes.append(self._refused(reason, heard, found.rid))
        return outcomes

    def _refused(self, reason: str, heard: Heard, rid: bytes) -> Refusal:
        """Return the refusal of an alert, which waits if nobody has its identifier."""
        if reason != "unknown":
            self._waiting.remove(heard.payload)
            return Refusal(reason, heard)
        is_new = rid not in self._waiting.groups
        is_kept = self._waiting.keep(heard)
        if is_new and is_kept:
            self._unsearched.add(rid)
        return Refusal(reason, heard, is_kept)

    def _sighted(
        self,
        heard: Heard,
        found: frame.AlertFrame,
        event: Event,
        of_slot: int,
        plain: alert.Alert,
        queue: deque[Heard],
    ) -> list[Outcome]:
        """Judge an alert whose tag was good, move what it moves, and return what it is."""
        if self._waiting.remove(heard.payload):
            self.counts["found_later"] += 1
        seq = slot.unmasked(found.q, slot.mask(event.keys.rid_key, of_slot))
        is_hearsay = heard.receipt is not None and heard.receipt.is_hearsay
        verdict = event.judge(Entry(heard.t_ms, of_slot, seq), is_hearsay)
        if verdict.kind != REPLAY and event.number > event.beacon.newest:
            for added in self._watch.advance(event):
                queue.extend(self._waiting_for(added))
        sighting = Sighting(
            beacon_id=event.keys.beacon_id,
            event=event.number,
            slot=of_slot,
            seq=seq,
            rid=found.rid,
            status=plain.status,
            battery_mv=plain.battery * alert.BATTERY_UNIT_MV,
            crumbs=plain.crumbs,
            phase=plain.phase,
            readable=alert.readable(plain),
            verdict=verdict.kind,
            left=verdict.left,
            rssi_dbm=heard.rssi_dbm,
            t_ms=heard.t_ms,
            began_ms=event.began_ms(),
            receipt=heard.receipt,
        )
        return [sighting, *self._pages.sighted(event.keys, sighting)]

    def _waiting_for(self, event: Event) -> list[Heard]:
        """Return the alerts that wait and have an identifier of this event."""
        return [heard for rid in event.rids for heard in self._waiting.firsts(rid)]

    def _events_beyond(self) -> Iterator[list[Outcome]]:
        """Go once through all depths, breadth first: one step is one event of one beacon."""
        goal, self._unsearched = self._unsearched, set()
        at: list[tuple[Beacon, int, bytes]] = []
        for beacon in self._watch.beacons:
            last = self._watch.last(beacon)
            at.append((beacon, last, beacon.keys_of(last).event_key))
        for _ in range(DEEPEST):
            if goal.isdisjoint(self._waiting.groups):
                return
            for i, (beacon, number, event_key) in enumerate(at):
                at[i] = beacon, number + 1, keys.next_event_key(event_key)
                yield self._look_into(*at[i])

    def _look_into(self, beacon: Beacon, number: int, event_key: bytes) -> list[Outcome]:
        """Return what waited for one event beyond a window, if it is that event's."""
        if number <= self._watch.last(beacon):
            return []  # the window went past meanwhile and woke what there was
        waiting = self._waiting.groups
        rids = [rid for rid in all_rids(keys.rid_key(event_key)) if rid in waiting]
        woken = [heard for rid in rids for heard in self._waiting.firsts(rid)]
        event_keys = beacon.anchor.later(number, event_key) if woken else None
        # a tag, and not an identifier alone, says that the event exists: that one can be echoed
        if event_keys is None or not any(_opens(event_keys, heard) for heard in woken):
            return []
        self._watch.include(beacon, event_keys)
        return self._alerts(deque(sorted(woken, key=lambda heard: heard.t_ms)))

    def _counted(self, outcomes: list[Outcome]) -> list[Outcome]:
        for outcome in outcomes:
            if isinstance(outcome, Sighting):
                self.counts[outcome.verdict] += 1
            elif isinstance(outcome, Refusal):
                self.counts[outcome.reason] += 1
            else:
                self.counts[_COUNTED[type(outcome)]] += 1
        return outcomes


def _by_beacon(lines: Lines) -> dict[str, dict[int, list[Entry]]]:
    found: dict[str, dict[int, list[Entry]]] = {}
    for (beacon_id, event), entries in lines.items():
        found.setdefault(beacon_id, {})[event] = [Entry(*entry) for entry in entries]
    return found


_COUNTED = {PageMatched: "pages", SignatureVerified: "signatures", CrumbFound: "crumbs"}


def _opens(event_keys: EventKeys, heard: Heard) -> bool:
    """Return whether the tag of an alert is good under the key of an event."""
    try:
        alert.open_alert(event_keys.alert_key, frame.decode(heard.payload))
    except TagError:
        return False
    return True
