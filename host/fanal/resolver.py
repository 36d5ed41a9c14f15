"""Heard in; sightings, signatures and named refusals out. No clock, no I/O. SPEC 3.

The order of work is the order of trust: form, identifier, tag, then time. Only a frame whose
tag was good and that is no replay moves anything.
"""

import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fanal_protocol import alert, frame, slot
from fanal_protocol.error import Refused, TagError
from fanal_protocol.line import DUPLICATE, REPLAY, Entry

from fanal.bare_sighting import duplicate, sighting
from fanal.deep_search import DeepSearch
from fanal.deep_walk import Hit
from fanal.event_keys import EventKeys
from fanal.heard import Heard
from fanal.pages import Pages
from fanal.repeats import Known, Repeats
from fanal.sighting import CrumbFound, Outcome, PageMatched, Refusal, Sighting, SignatureVerified
from fanal.waiting import LOT_BYTES, Waiting
from fanal.watch import AnyWatch, Beacon, Event, Past, Watch

WINDOW = 2
WIDE = 500  # beacons from which on they are kept in arrays, if numpy is installed

_RID_AT = slice(1, 1 + slot.RID_BYTES)
_WAITING_PER_MINUTE = 240
_WAITING_MOST = 20_000


_Queue = deque[Heard] | list[Heard]

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
        lot: bytes = b"",
    ) -> None:
        """Watch some beacons.

        watched: for each beacon the first event that can be resolved, with its key: usually 1.
        lines: by (beacon id, event) the (t_ms, slot, seq) held as genuine so far, so that a
        restart forgets no replay. window: events beyond the newest to expect, at least 2; behind:
        events before it to recognise, at least 1. lot: see `Waiting`; at random if there is none.
        """
        lot = lot or secrets.token_bytes(LOT_BYTES)
        self.counts: Counter[str] = Counter()
        self._watch: AnyWatch = Watch(window, behind)
        self._waiting = Waiting(
            self.counts, "alerts", _WAITING_PER_MINUTE, _WAITING_MOST, group=_RID_AT, lot=lot
        )
        self._pages = Pages(self.counts, lot)
        self._repeats = Repeats()
        self._woken: deque[Heard] = deque()
        self._unsearched: set[bytes] = set()
        self._echoed: set[bytes] = set()  # found beyond a window, with no good tag as yet
        self._search: DeepSearch | None = None
        self.watch(watched, lines)

    def watch(
        self,
        watched: Iterable[EventKeys],
        lines: Lines | None = None,
        hearsay: Lines | None = None,
        newest: Mapping[str, int] | None = None,
    ) -> None:
        """Watch more beacons, as when made; what waited for them comes with the next search.

        hearsay: of `lines`, what had `Receipt.is_hearsay` instead. newest: by beacon id, the
        newest event that is known to have been seen, where `lines` does not tell.
        """
        anchors = list(watched)
        known = Past(_by_beacon(lines or {}), _by_beacon(hearsay or {}), newest or {})
        self._watch = _wide_enough(self._watch, len(anchors))
        self._wake(self._watch.add(anchors, known, self._waiting.groups.keys()), self._woken)
        self._unsearched.update(self._waiting.groups)

    def watch_saved(
        self,
        path: Path,
        storage: bytes,
        watched: Sequence[EventKeys],
        lines: Lines | None = None,
        hearsay: Lines | None = None,
        newest: Mapping[str, int] | None = None,
        alive: Callable[[], object] = lambda: None,
    ) -> str | None:
        """Watch beacons, the first ones, by what `save` kept: a million in a few seconds.

        Return None, or why that cannot be: then nothing is watched, and `watch` is the way.
        alive: called now and then.
        """
        if len(self._watch) or len(self._waiting):
            return "not the first"
        try:
            from fanal.index_file import Unusable
            from fanal.saved_watch import restored
        except ImportError:
            return "numpy"
        past = Past(_by_beacon(lines or {}), _by_beacon(hearsay or {}), newest or {})
        window, behind = self._watch.window, self._watch.behind
        try:
            self._watch = restored(path, storage, watched, past, window, behind, alive)
        except Unusable as why:
            return str(why)
        return None

    def settle(self, alive: Callable[[], object] = lambda: None) -> None:
        """Put the table in order now, which takes half a minute for a million beacons.

        Otherwise the first packet does, for as long. alive: called now and then.
        """
        self._watch.settle(alive)

    def save(self, path: Path, storage: bytes, alive: Callable[[], object] = lambda: None) -> bool:
        """Keep the table of identifiers over a restart, sealed, if it is worth it: say whether.

        storage: the key to seal it under, 32 bytes; alive: called now and then. Raises OSError.
        """
        if isinstance(self._watch, Watch):
            return False
        from fanal.saved_watch import keep
        from fanal.wide_watch import WideWatch

        assert isinstance(self._watch, WideWatch)
        keep(self._watch, path, storage, alive)
        return True

    def recall(self, seen: Iterable[Seen]) -> None:
        """Take up what was seen before a restart, so that its pages are known again.

        An event outside of the window is passed by: its keys are gone.
        """
        for one in seen:
            event_keys = self._watch.keys_in_window(one.beacon_id, one.event)
            if event_keys is not None:
                self._pages.recall(event_keys, one.slot, one.rid, one.status,
                                   (one.first_ms, one.last_ms), one.is_verified)  # fmt: skip

    def catch_up(self, lines: Lines) -> None:
        """Take up what others held as genuine meanwhile, who write into the same registry.

        lines: as when made. What this moves is found with the next search; an event before the
        window is passed by.
        """
        for (beacon_id, number), entries in lines.items():
            for place in self._watch.places_of(beacon_id):
                event = self._event(self._watch.beacon(place), number)
                if event is not None:
                    for entry in entries:
                        self._heard_elsewhere(event, Entry(*entry))

    def _event(self, beacon: Beacon, number: int) -> Event | None:
        """Return an event of a beacon, put into the table if it is beyond; None before it."""
        if number not in beacon.events and number > self._watch.last(beacon):
            self._watch.include(beacon, beacon.keys_of(number))
        if number in beacon.events:
            return beacon.events[number]
        event_keys = self._watch.keys_in_window(beacon.anchor.beacon_id, number)
        return None if event_keys is None else Event(beacon, event_keys, ())

    def _heard_elsewhere(self, event: Event, entry: Entry) -> None:
        verdict = event.judge(entry, False)
        self._watch.hold(event)
        event.beacon.note(event.number, entry, verdict)
        if verdict.kind != REPLAY and event.number > event.beacon.newest:
            self._advance(event, self._woken)

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
        known = self._repeats.known(heard)
        if known is not None:
            return self._again(known, heard)
        try:
            found = frame.decode(heard.payload)
        except Refused as refused:
            return self._counted([Refusal(refused.reason, heard)])
        if not isinstance(found, frame.AlertFrame):
            return self._counted(self._pages.take(heard, found))
        woken: list[Heard] = []
        outcomes = self._alert(heard, found, woken)
        if woken:
            outcomes += self._alerts(deque(woken))
        return self._counted(outcomes)

    def _again(self, known: Known, heard: Heard) -> list[Outcome]:
        """Return what a Heard is that is a duplicate for sure."""
        again = duplicate(known, heard)
        if self._pages.sighted_again(known.pages, heard.t_ms):
            self.counts[DUPLICATE] += 1
            return [again]
        return self._counted([again, *self._pages.sighted(known.of_event.keys, again)[1]])

    def search_deeper(self, budget: int) -> list[Outcome]:
        """Look for waiting alerts in about `budget` events beyond the windows.

        See `DeepSearch`; each call goes on where the last one stopped. An event costs about 6 us,
        10 without numpy. Return what was found, as `take` does.
        """
        outcomes = self._alerts(self._woken)
        waiting = self._waiting.groups
        if self._unsearched and len(self._watch):
            self._search = self._search or DeepSearch()
            self._search.want(self._unsearched, waiting)
        self._unsearched.clear()
        if self._search is not None:
            for hit in self._search.look(self._watch, waiting, budget):
                outcomes += self._look_into(hit)
            self._search = self._search or None
        return self._counted(outcomes)

    def _alerts(self, queue: deque[Heard]) -> list[Outcome]:
        """Resolve alerts one after another; what a window that moves wakes joins the queue."""
        outcomes: list[Outcome] = []
        while queue:
            heard = queue.popleft()
            outcomes += self._alert(heard, frame.decode(heard.payload), queue)
        return outcomes

    def _alert(self, heard: Heard, found: frame.AlertFrame, queue: _Queue) -> list[Outcome]:
        """Resolve one alert; what a window that moves wakes joins the queue."""
        reason = "unknown"
        for event, of_slot in self._watch.candidates(found.rid):
            reason = "tag"
            try:
                plain = event.keys.open_alert(found)
            except TagError:
                continue
            self._watch.hold(event)
            return self._sighted(heard, found, event, of_slot, plain, queue)
        return [self._refused(reason, heard, found.rid)]

    def _refused(self, reason: str, heard: Heard, rid: bytes) -> Refusal:
        """Return the refusal of an alert, which waits if nobody has its identifier."""
        if reason != "unknown":
            self._waiting.remove(heard.payload)
            return Refusal(reason, heard)
        # who echoed an identifier with a tag of his own may be ahead of the beacon itself
        known = self._waiting.groups.get(rid, ())
        is_new = heard.payload not in known if rid in self._echoed else not known
        is_kept = self._waiting.keep(heard)
        if is_new and is_kept:
            self._unsearched.add(rid)
            if len(self._unsearched) > 2 * _WAITING_MOST:  # most of them wait no more
                self._unsearched.intersection_update(self._waiting.groups)
        return Refusal(reason, heard, is_kept)

    def _sighted(
        self,
        heard: Heard,
        found: frame.AlertFrame,
        event: Event,
        of_slot: int,
        plain: alert.Alert,
        queue: _Queue,
    ) -> list[Outcome]:
        """Judge an alert whose tag was good, move what it moves, and return what it is."""
        if self._waiting.remove(heard.payload):
            self.counts["found_later"] += 1
        seq = slot.unmasked(found.q, event.keys.rid_and_mask(of_slot)[1])
        is_hearsay = heard.receipt is not None and heard.receipt.is_hearsay
        entry = Entry(heard.t_ms, of_slot, seq)
        verdict = event.judge(entry, is_hearsay)
        event.beacon.note(event.number, entry, verdict)
        if verdict.kind != REPLAY and event.number > event.beacon.newest:
            self._advance(event, queue)
        seen = sighting(
            event.keys.beacon_id, event.number, of_slot, seq, found.rid, plain.status,
            plain.battery * alert.BATTERY_UNIT_MV, plain.crumbs, plain.phase,
            alert.readable(plain), verdict.kind, verdict.left, heard.rssi_dbm, heard.t_ms,
            event.began_ms(), heard.receipt,
        )  # fmt: skip
        pages, outcomes = self._pages.sighted(event.keys, seen)
        if not is_hearsay:
            self._repeats.learn(heard.payload, event, seen, pages)
        return [seen, *outcomes]

    def _advance(self, event: Event, queue: _Queue) -> None:
        """Move the window of a beacon; what that wakes joins the queue."""
        self._wake(self._watch.advance(event, self._waiting.groups.keys()), queue)
        if self._search is not None:
            self._search.moved(event.beacon.place)

    def _wake(self, rids: Iterable[bytes], queue: _Queue) -> None:
        """Put the alerts that wait under these identifiers into a queue."""
        for rid in rids:
            queue.extend(self._waiting.firsts(rid))

    def _look_into(self, hit: Hit) -> list[Outcome]:
        """Return what waited for one event beyond a window, if it is that event's."""
        beacon = self._watch.beacon(hit.place)
        if hit.event <= self._watch.last(beacon):
            return []  # the window went past meanwhile and woke what there was
        woken = [heard for rid in hit.rids for heard in self._waiting.firsts(rid)]
        event_keys = beacon.anchor.later(hit.event, hit.event_key)
        # a tag, and not an identifier alone, says that the event exists: that one can be echoed
        if not any(_opens(event_keys, heard) for heard in woken):
            self._echoed.update(hit.rids)
            self._echoed.intersection_update(self._waiting.groups)
            return []
        if hit.event not in beacon.events:
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


def _wide_enough(watch: AnyWatch, more: int) -> AnyWatch:
    """Return a table that suits `more` beacons more: this one, or one in arrays."""
    if not isinstance(watch, Watch) or len(watch) + more < WIDE:
        return watch
    try:
        from fanal.wide_watch import WideWatch
    except ImportError:  # without numpy, which only a hub asks for, the table of objects goes on
        return watch
    return WideWatch.of(watch)


def _opens(event_keys: EventKeys, heard: Heard) -> bool:
    """Return whether the tag of an alert is good under the key of an event."""
    try:
        event_keys.open_alert(frame.decode(heard.payload))
    except TagError:
        return False
    return True
