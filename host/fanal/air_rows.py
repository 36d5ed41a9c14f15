"""What was heard of a self-test, judged row by row. Pure: no radio, no clock, no key."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from fanal_protocol.line import REPLAY

from fanal.beacon_name import shown
from fanal.heard import Heard
from fanal.sighting import TEST, Sighting, SignatureVerified
from fanal.verify import FAIL, OK, WARN, Check, Verification

UNIT_MS = 2000
LATE_MS = 2000  # a frame may come that late, and the beginning is known to one unit only
_JITTER_MS = 500  # how much later than another one a system may hand on a frame
_CUT_SHORT_MS = 5000
_PAGES_WANTED = 3
_ADDRESS = re.compile(r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")

_FAILED = 1
_INTEGRITY = 4


@dataclass(frozen=True)
class Limits:
    """rssi_min_dbm, rssi_max_dbm: for the median. patience_s: for the first alert. margin_s: how
    long to listen after the end."""

    rssi_min_dbm: int = -80
    rssi_max_dbm: int = -20
    patience_s: float = 30.0
    margin_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame with our service UUID. kind: "alert", "page", "replay" or why it was refused.

    unit: of an alert, its (event, slot, seq); is_ours: whether it is of this beacon, now.
    """

    heard: Heard
    kind: str
    is_ours: bool
    unit: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Overheard:
    """All that was heard. asked_ms: when the self-test was asked for; frames: in order of arrival.

    sightings: replays too; lost: sentences of why some were not recorded; others: advertisements
    of other devices after the end; is_whole: False if listening was broken off.
    """

    asked_ms: int
    sightings: tuple[Sighting, ...]
    signatures: tuple[SignatureVerified, ...]
    frames: tuple[Frame, ...]
    lost: tuple[str, ...]
    others: int
    is_whole: bool

    @property
    def genuine(self) -> tuple[Sighting, ...]:
        """The sightings that are no replays."""
        return tuple(seen for seen in self.sightings if seen.verdict != REPLAY)

    @property
    def ours(self) -> tuple[Frame, ...]:
        """The frames of this beacon."""
        return tuple(frame for frame in self.frames if frame.is_ours)

    @property
    def rssi_dbm(self) -> tuple[int, ...]:
        """How strong each frame of this beacon was, as far as it is known."""
        found = (frame.heard.rssi_dbm for frame in self.ours)
        return tuple(rssi for rssi in found if rssi is not None)

    @property
    def first_s(self) -> float | None:
        """Seconds to the first alert, None if none came."""
        if not self.genuine:
            return None
        return max(0, self.genuine[0].t_ms - self.asked_ms) / 1000


def is_self_test(seen: Sighting) -> bool:
    """Return whether it says what a self-test says, and nothing else."""
    return seen.kind == TEST and not seen.drill and not seen.resumed


def end_ms(genuine: Sequence[Sighting], self_test_s: int) -> int:
    """Return when the event should end at the latest, by what was heard of it."""
    began_ms = min(seen.t_ms - 1000 * seen.age_s for seen in genuine)
    return began_ms + 1000 * self_test_s


def judge(wired: Verification, found: Overheard, limits: Limits, hint: str) -> tuple[Check, ...]:
    """Return all rows. wired: what the cable said before. hint: if nothing was heard."""
    if not found.genuine:
        return (_nothing(found, limits, hint),)
    rows = [_heard(found), _activation(wired, found), _event(wired, found), _rssi(found, limits)]
    if found.is_whole:
        rows += [_signature(wired, found), _address(found), _frames(found), _battery(found)]
        rows += [_duration(wired, found), _silence(wired, found, limits)]
    return (*rows, _recorded(found))


def _nothing(found: Overheard, limits: Limits, hint: str) -> Check:
    what = f"no alert of it in {limits.patience_s:.0f} s"
    if found.sightings:
        what = f"only replays of earlier events in {limits.patience_s:.0f} s"
    elif found.frames:
        what += f", but {_counted(len(found.frames), 'frame')} of another beacon"
    return _bad("heard", f"{what}, and the radio is not deaf: {hint}", _FAILED)


def _heard(found: Overheard) -> Check:
    return _good("heard", f"first alert after {found.first_s:.1f} s, "
                f"{_counted(len(found.ours), 'frame')} in all")  # fmt: skip


def _activation(wired: Verification, found: Overheard) -> Check:
    for seen in found.genuine:
        if not is_self_test(seen):
            marks = ", ".join(
                [seen.kind]
                + ["drill"] * (seen.drill and seen.kind == TEST)
                + ["resumed"] * seen.resumed
                + ["unreadable"] * (not seen.readable)
            )
            reason = f"event {seen.event} says {marks}, which no self-test does; it stays on air"
            return _bad("activation", f"{reason} until its own end", _FAILED)
    return _good("activation", f"a self-test of {shown(wired.beacon_id)}, no drill, not resumed")


def _event(wired: Verification, found: Overheard) -> Check:
    tests = {seen.event for seen in found.genuine if is_self_test(seen)}
    wrong = sorted((tests or {found.genuine[0].event}) - {wired.next_event})
    if wrong:
        heard = ", ".join(map(str, wrong))
        return _bad("event number", f"heard {heard}, the vault said {wired.next_event}", _INTEGRITY)
    return _good("event number", f"{wired.next_event}, as the vault said")


def _signature(wired: Verification, found: Overheard) -> Check:
    said = {(seen.event, seen.slot, seen.status & 0xF0) for seen in found.genuine}
    for signed in found.signatures:
        if (signed.event, signed.slot, signed.status) in said and signed.event == wired.next_event:
            after_s = max(0, signed.t_ms - found.genuine[0].t_ms) / 1000
            reason = f"valid under the registered key, {after_s:.1f} s after the first alert"
            return _good("signature", reason)
    pages = {frame.heard.payload for frame in found.ours if frame.kind == "page"}
    if len(pages) < _PAGES_WANTED:
        reason = f"{len(pages)} of {_PAGES_WANTED} pages came"
    else:
        reason = f"{len(pages)} pages came, and no signature of this beacon's is in them"
    return _bad("signature", reason, _INTEGRITY)


def _rssi(found: Overheard, limits: Limits) -> Check:
    known = found.rssi_dbm
    if not known:
        return _warned("rssi", "this radio does not know it")
    middle = round(median(known))
    shown = f"{middle} dBm, the median of {len(known)} ({min(known)} to {max(known)})"
    if middle < limits.rssi_min_dbm:
        reason = f"{shown}, below {limits.rssi_min_dbm}: is it within a metre, is its antenna free?"
        return _bad("rssi", reason, _FAILED)
    if middle > limits.rssi_max_dbm:
        return _bad("rssi", f"{shown}, above {limits.rssi_max_dbm}: too near to tell", _FAILED)
    return _good("rssi", shown)


def _address(found: Overheard) -> Check:
    shown = [frame for frame in found.ours if _ADDRESS.fullmatch(frame.heard.address)]
    if not shown:
        return _warned("address", "this system hides addresses: not seen whether they change")
    times, units = defaultdict(list), defaultdict(set)
    for frame in shown:
        times[frame.heard.address].append(frame.heard.t_ms)
        if frame.unit is not None:
            units[frame.heard.address].add(frame.unit)
    longest_ms = max(max(t) - min(t) for t in times.values())
    if any(int(address[:2], 16) & 0xC0 for address in times):
        return _bad("address", "not a non-resolvable private one: it can be traced", _FAILED)
    if any(len(of_one) > 1 for of_one in units.values()):
        return _bad("address", "one address speaks in two units of 2 s", _FAILED)
    if longest_ms > UNIT_MS + _JITTER_MS:
        return _bad("address", f"one address stays for {longest_ms / 1000:.1f} s, not 2", _FAILED)
    if len(times) < 2:
        return _warned("address", "only one was heard: not seen whether it changes")
    return _good("address", f"{len(times)} private ones, each for 2 s at most")


def _frames(found: Overheard) -> Check:
    replays = sorted({seen.event for seen in found.sightings if seen.verdict == REPLAY})
    if replays:
        return _bad("frames", f"replays of event {', '.join(map(str, replays))}", _INTEGRITY)
    foreign = [frame for frame in found.frames if not frame.is_ours]
    own = {frame.heard.address for frame in found.ours} - {""}
    reasons = Counter(frame.kind for frame in foreign)
    shown = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    if any(frame.heard.address in own for frame in foreign):
        return _bad("frames", f"it sends what is not of this event ({shown})", _INTEGRITY)
    if foreign:
        return _warned("frames", f"{_counted(len(foreign), 'frame')} from elsewhere ({shown})")
    return _good("frames", f"all {len(found.ours)} are of this event")


def _battery(found: Overheard) -> Check:
    low = [seen for seen in found.genuine if seen.battery_low]
    shown = f"{(low or found.genuine)[-1].battery_mv} mV"
    if low:
        return _bad("battery on air", f"{shown}, which it calls low", _FAILED)
    return _good("battery on air", shown)


def _duration(wired: Verification, found: Overheard) -> Check:
    begun_ms = end_ms(found.genuine, 0)
    lasted_s = max(0, max(frame.heard.t_ms for frame in found.ours) - begun_ms) / 1000
    shown = f"on air for {lasted_s:.1f} s of {wired.self_test_s}"
    if 1000 * (wired.self_test_s - lasted_s) > _CUT_SHORT_MS:
        return _bad("duration", f"{shown}: did it restart, is its supply weak?", _FAILED)
    return _good("duration", shown)


def _silence(wired: Verification, found: Overheard, limits: Limits) -> Check:
    end = end_ms(found.genuine, wired.self_test_s)
    late = [frame.heard.t_ms for frame in found.ours if frame.heard.t_ms > end + LATE_MS]
    if late:
        after_s = (max(late) - end) / 1000
        frames = _counted(len(late), "frame")
        return _bad("silence", f"still on air {after_s:.1f} s after its end ({frames})", _FAILED)
    heard = f"; {_counted(found.others, 'advertisement')} of others heard" if found.others else ""
    return _good("silence", f"nothing of it for {limits.margin_s:.0f} s after its end{heard}")


def _recorded(found: Overheard) -> Check:
    events = ", ".join(str(event) for event in sorted({seen.event for seen in found.genuine}))
    if found.lost:
        return _warned("registry", f"event {events} may not count as heard: {found.lost[0]}")
    return _good("registry", f"event {events} counts as heard")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _good(name: str, reason: str) -> Check:
    return Check(name, OK, reason)


def _warned(name: str, reason: str) -> Check:
    return Check(name, WARN, reason)


def _bad(name: str, reason: str, exit_code: int) -> Check:
    return Check(name, FAIL, reason, exit_code)
