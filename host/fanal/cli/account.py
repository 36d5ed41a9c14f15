"""The live account that `fanal listen` gives a person: one line for each thing that changed."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from fanal_protocol.line import REPLAY

from fanal.beacon_name import shown
from fanal.listen import Event, NotRecorded
from fanal.sighting import (
    ALERT,
    DRILL,
    TEST,
    CrumbFound,
    PageMatched,
    Refusal,
    Sighting,
    SignatureVerified,
)

PAGES_NEEDED = 3

_NOUNS = ("adverts", "restarts")
_AGAIN_MS = 60_000  # an unchanged event, or the same kind of refusal, is told again after this
_SILENT_MS = 60_000
_COLOURS = {ALERT: "red", DRILL: "yellow", TEST: "cyan"}
_REMARKS = {DRILL: "a rehearsal", TEST: "a self-test"}
_REFUSALS = {
    "unknown": "not from any beacon known here; kept, to be tried again",
    "tag": "forged or damaged, though it names a beacon of ours",
}
_MALFORMED = "not a packet of this protocol"
_PHASES = {0: "alert phase", 1: "track phase"}


@dataclass
class Story:
    """What was told of one event of one beacon, and what came since. Times in ms."""

    latest: Sighting
    first_ms: int
    told_ms: int
    heard: int = 0
    replays: int = 0
    replay_told_ms: int | None = None
    pages: int = 0
    signed_ms: int | None = None
    is_silent: bool = False

    def signature(self) -> str:
        """Say how far the signature is."""
        if self.signed_ms is not None:
            return "signature complete and valid"
        return f"signature: pages {min(self.pages, PAGES_NEEDED)} of {PAGES_NEEDED}"


@dataclass
class Account:
    """Turns events into lines. It reads no clock and prints nothing.

    places: beacon id to where it is. revoked: beacon id to why it is trusted no more; its alerts
    are told as any other, and marked. horizons: beacon id to the event up to which what it says may
    be a replay, since the registry is older than the world; marked too. zone: of the times shown,
    the system's if None. paint: colours a word; colour never says what the word does not.
    """

    places: Mapping[str, str]
    zone: tzinfo | None = None
    paint: Callable[[str, str], str] = lambda word, _: word
    revoked: Mapping[str, str] = field(default_factory=dict)
    horizons: Mapping[str, int] = field(default_factory=dict)
    stories: dict[tuple[str, int], Story] = field(default_factory=dict)
    _refused: Counter[str] = field(default_factory=Counter)
    _refused_ms: dict[str, int] = field(default_factory=dict)

    def tell(self, event: Event) -> list[str]:
        """Return the lines that an event deserves, often none."""
        match event:
            case Sighting():
                return self._tell_replay(event) if event.verdict == REPLAY else self._tell(event)
            case PageMatched(kind="signature"):
                story = self.stories.get((event.beacon_id, event.event))
                if story is not None and event.slot == story.latest.slot:
                    story.pages = event.have
                return []
            case SignatureVerified():
                return self._tell_signature(event)
            case CrumbFound():
                what = f"location {event.index}: {event.seen} access points in reach"
                return [self._line(event.t_ms, event.beacon_id, event.event, what)]
            case Refusal():
                return self._tell_refusal(event)
            case NotRecorded():
                seen, error = event.sighting, event.error
                what = f"not recorded, a restart will forget it: {error.sentence} {error.hint}"
                return [self._line(seen.t_ms, seen.beacon_id, seen.event, what.rstrip())]
            case _:
                return []

    def tick(self, now_ms: int) -> list[str]:
        """Return what has to be said because nothing happened."""
        lines = []
        for (beacon_id, number), story in self.stories.items():
            if not story.is_silent and now_ms - story.latest.t_ms >= _SILENT_MS:
                story.is_silent = True
                what = f"not heard any more since {self._clock(story.latest.t_ms, now_ms)}"
                lines.append(self._line(now_ms, beacon_id, number, what))
        return lines

    def summary(self, counts: Mapping[str, int], radio: Mapping[str, int]) -> list[str]:
        """Return the end of the account. counts: of the resolver; radio: of the radio."""
        lines = [self._ending(story) for story in self.stories.values() if story.heard]
        kept = _named(counts, ("fresh", "late", "duplicate", "replay"))
        lines.append(f"Alerts of ours: {kept}; pages: {counts.get('pages', 0)}.")
        refused = ("length", "version", "type", "reserved", "seq", "page", "unknown", "tag")
        lines.append(f"Not resolved when heard: {_named(counts, refused)}.")
        lost = [name for name in counts if name.endswith(("_crowded", "_evicted", "_expired"))]
        if lost:
            lines.append(f"Lost to a flood or to time: {_named(counts, lost)}.")
        ears = _named(radio, ("adverts", "foreign", "malformed", "overflow", "restarts"))
        lines.append(f"Radio: {ears}.")
        return lines

    def is_live(self, found: SignatureVerified) -> bool:
        """Say whether an alert of that event was heard that was no replay."""
        story = self.stories.get((found.beacon_id, found.event))
        return story is not None and story.heard > 0

    def _tell(self, seen: Sighting) -> list[str]:
        key = (seen.beacon_id, seen.event)
        story = self.stories.get(key)
        if story is None or not story.heard:
            replays = story.replays if story else 0
            self.stories[key] = Story(seen, seen.t_ms, seen.t_ms, heard=1, replays=replays)
            return self._opening(seen)
        before, story.latest = story.latest, seen
        story.heard += 1
        changes = _changes(before, seen)
        if seen.left:
            changes.append(f"{len(seen.left)} earlier packets turn out to be replays; "
                           f"squeezed {self._squeezed(seen)}")  # fmt: skip
        if story.is_silent:
            changes.append("heard again")
        story.is_silent = False
        if not changes and seen.t_ms - story.told_ms < _AGAIN_MS:
            return []
        if before.slot != seen.slot:
            story.pages = 0
        story.told_ms = seen.t_ms
        what = "; ".join(changes) or f"still on air, {self._age(seen)} since the squeeze"
        detail = f"{what}; {_radio_text(seen)}; {story.signature()}"
        return [self._line(seen.t_ms, seen.beacon_id, seen.event, detail)]

    def _opening(self, seen: Sighting) -> list[str]:
        remarks = [_REMARKS[seen.kind]] if seen.kind in _REMARKS else []
        if seen.beacon_id in self.revoked:
            remarks.append(f"revoked: {self.revoked[seen.beacon_id]}; whoever squeezed it may need"
                           " help, and it may be elsewhere")  # fmt: skip
        if seen.may_be_replay(self.horizons.get(seen.beacon_id, 0)):
            remarks.append("MAY BE A REPLAY: the registry was restored, and this event is not newer"
                           " than those known before; check by another way")  # fmt: skip
        if not seen.readable:
            remarks.append("its status cannot be read: the beacon is newer than this program")
        if seen.resumed:
            remarks.append("resumed: the beacon lost power and came back")
        remark = f"  ({'; '.join(remarks)})" if remarks else ""
        head = self._head(seen)
        return [
            f"{self._clock(seen.t_ms)}  {self._word(seen)}  {head}{remark}",
            f"{'':10}squeezed {self._squeezed(seen)}, {self._age(seen)} before this was heard; "
            f"{_phase(seen)}; {_radio_text(seen)}",
        ]

    def _tell_replay(self, seen: Sighting) -> list[str]:
        key = (seen.beacon_id, seen.event)
        story = self.stories.setdefault(key, Story(seen, seen.t_ms, seen.t_ms))
        story.replays += 1
        if story.replay_told_ms is not None and seen.t_ms - story.replay_told_ms < _AGAIN_MS:
            return []
        story.replay_told_ms = seen.t_ms
        late_ms = 0 if seen.began_ms is None else seen.t_ms - seen.began_ms - 1000 * seen.age_s
        late = f"{_span(late_ms // 1000)} late" if late_ms > 0 else "after a newer event began"
        what = f"an old packet was sent again, {late}; it changes nothing"
        head = f"{self._name(seen.beacon_id)}  event {seen.event}: {what}"
        return [f"{self._clock(seen.t_ms)}  {self._painted('REPLAY', 'magenta')}  {head}"]

    def _tell_signature(self, found: SignatureVerified) -> list[str]:
        story = self.stories.get((found.beacon_id, found.event))
        if story is None or story.signed_ms is not None:
            return []
        story.signed_ms = found.t_ms
        if not story.heard:
            return []  # signed once, and played again now: it must not look like an alert
        after_s = max(0, found.t_ms - story.first_ms) / 1000
        what = f"{story.signature()}, {after_s:.1f} s after the first alert was heard"
        return [self._line(found.t_ms, found.beacon_id, found.event, what)]

    def _tell_refusal(self, refusal: Refusal) -> list[str]:
        """Name a refused packet at once, and the like of it once a minute."""
        if refusal.is_kept and len(refusal.heard.payload) == 27:
            return []  # a page that came before its alert: nothing is wrong with it
        reason, t_ms = refusal.reason, refusal.heard.t_ms
        self._refused[reason] += 1
        if t_ms - self._refused_ms.get(reason, t_ms - _AGAIN_MS) < _AGAIN_MS:
            return []
        self._refused_ms[reason] = t_ms
        many = self._refused.pop(reason)
        packets = "a packet" if many == 1 else f"{many} packets"
        what = f"{packets}: {_REFUSALS.get(reason, _MALFORMED)}"
        return [f"{self._clock(t_ms)}  {self._painted(reason, 'magenta')}  {what}"]

    def _ending(self, story: Story) -> str:
        seen = story.latest
        head = self._head(seen)
        replays = f"; replays: {story.replays}" if story.replays else ""
        return (
            f"{self._word(seen)}  {head}: squeezed {self._squeezed(seen)}; {story.signature()}; "
            f"alerts heard: {story.heard}, the last at {self._clock(seen.t_ms)}{replays}"
        )

    def _line(self, t_ms: int, beacon_id: str, number: int, what: str) -> str:
        story = self.stories.get((beacon_id, number))
        word = self._word(story.latest) if story and story.heard else self._painted("", "")
        return f"{self._clock(t_ms)}  {word}  {self._name(beacon_id)}  event {number}: {what}"

    def _head(self, seen: Sighting) -> str:
        """Return which beacon, where, and which event."""
        place = self.places.get(seen.beacon_id, "")
        parts = (self._name(seen.beacon_id), place, f"event {seen.event}")
        return "  ".join(part for part in parts if part)

    def _name(self, beacon_id: str) -> str:
        mark = " " + self.paint("REVOKED", "magenta") if beacon_id in self.revoked else ""
        return shown(beacon_id) + mark

    def _word(self, seen: Sighting) -> str:
        return self._painted(seen.kind, _COLOURS[seen.kind])

    def _painted(self, word: str, colour: str) -> str:
        padding = " " * (7 - len(word))  # as wide as the longest word, painted or not
        return self.paint(word, colour) + padding

    def _squeezed(self, seen: Sighting) -> str:
        began_ms = seen.t_ms - 1000 * seen.age_s if seen.began_ms is None else seen.began_ms
        at = self._clock(began_ms, seen.t_ms)
        return f"before {at}" if seen.resumed else f"at {at}"

    def _age(self, seen: Sighting) -> str:
        began_ms = seen.t_ms - 1000 * seen.age_s if seen.began_ms is None else seen.began_ms
        age = _span(max(seen.age_s, (seen.t_ms - began_ms) // 1000))
        return f"at least {age}" if seen.resumed else age

    def _clock(self, t_ms: int, beside_ms: int | None = None) -> str:
        """Return a time of day, with its date if that is not the day of `beside_ms`."""
        at = datetime.fromtimestamp(t_ms / 1000, self.zone)
        beside = at if beside_ms is None else datetime.fromtimestamp(beside_ms / 1000, self.zone)
        return at.strftime("%H:%M:%S" if at.date() == beside.date() else "%Y-%m-%d %H:%M:%S")


def _changes(before: Sighting, after: Sighting) -> list[str]:
    """Say in which ways an event is not what it was."""
    changes = []
    if before.kind != after.kind:
        changes.append(f"was {before.kind}, is {after.kind}")
    if before.phase != after.phase:
        changes.append(_phase(after))
    if after.battery_low and not before.battery_low:
        changes.append("battery low")
    return changes


def _phase(seen: Sighting) -> str:
    return _PHASES.get(seen.phase, f"phase {seen.phase}")


def _radio_text(seen: Sighting) -> str:
    rssi = "signal unknown" if seen.rssi_dbm is None else f"{seen.rssi_dbm} dBm"
    low = " (low)" if seen.battery_low else ""
    return f"battery {seen.battery_mv / 1000:.2f} V{low}, {rssi}"


def _span(seconds: int) -> str:
    """Return a span of time as a person says it."""
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def _named(counts: Mapping[str, int], names: list[str] | tuple[str, ...]) -> str:
    """Return every count that is not zero with its name."""
    found = [f"{counts[name]} {_noun(name, counts[name])}" for name in names if counts.get(name)]
    return ", ".join(found) or "none"


def _noun(name: str, count: int) -> str:
    return name.removesuffix("s") if count == 1 and name in _NOUNS else name.replace("_", " ")
