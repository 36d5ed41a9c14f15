"""One run of `fanal listen`: what it listens with, what it shows, and how it ends."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

import click
from fanal_protocol.line import REPLAY

from fanal.believed import AGREES_MS, believed
from fanal.cli import console
from fanal.cli.account import Account
from fanal.error import FanalError
from fanal.high_water import HighWater
from fanal.listen import Event, NotRecorded, Recorder, first_keys, listen
from fanal.radio import DEAF, QUIET, Radio, RadioState
from fanal.registry import Registry, Watched
from fanal.resolver import Lines, Resolver
from fanal.sighting import Refusal, Sighting, SignatureVerified

_TICK_S = 5.0


@dataclass(frozen=True)
class Show:
    """Where the account goes. line: a line for a person; event: one event for a program, with the
    beacons that are revoked, and why, and the horizons of those that have one."""

    line: Callable[[str], None]
    event: Callable[[Event, Mapping[str, str], Mapping[str, int]], None]

    @classmethod
    def lines(cls) -> Self:
        """For a person."""
        return cls(lambda line: click.echo(console.folded(line, 10, sys.stdout)), _nothing)

    @classmethod
    def objects(cls) -> Self:
        """For a program that reads a stream."""
        return cls(_nothing, lambda *what: console.print_json(as_object(*what)))

    @classmethod
    def silent(cls) -> Self:
        """For one that reads only the end."""
        return cls(_nothing, _nothing)


def _nothing(*_: object) -> None:
    return None


@dataclass
class Sitting:
    """One run of the command: what it listens with, and what it has seen.

    show: prints one line of an account or one event. until: what ends it, or None. high_water:
    what this computer heard before, whatever the registry says; None to keep nothing.
    """

    registry: Registry
    roots: Mapping[int, bytes] = field(repr=False)
    show: Show
    until: str | None = None
    high_water: HighWater | None = None

    def __post_init__(self) -> None:
        self.places: dict[str, str] = {}
        self.revoked: dict[str, str] = {}
        self.horizons: dict[str, int] = {}
        self.heard_before = self.high_water.read() if self.high_water is not None else {}
        self.account = Account(
            self.places, paint=_paint, revoked=self.revoked, horizons=self.horizons
        )
        self.resolver = Resolver([])
        self.rows = 0  # of the registry's sightings, that the resolver has
        self.refreshed_ms: int | None = None
        self.radio: Radio | None = None
        self.is_greeted = False
        self.is_deaf = False
        self.has_come = False
        self.began_s = time.monotonic()

    def run(self, radio: Radio, seconds: float | None) -> int:
        """Listen until the end and return the exit code."""
        self.radio = radio
        self._watch_new()
        try:
            asyncio.run(self._listen(radio, seconds))
        except KeyboardInterrupt:
            return 0 if seconds is None and self.until is None else 130
        if self.has_come:
            return 0
        if self.is_deaf:
            return 7
        return 1 if self.until else 0

    def report(self) -> dict[str, Any]:
        """Return the one object of `--json`."""
        assert self.radio is not None
        events = [
            {**_sighting_object(story.latest, self.revoked, self.horizons),
             "place": self.places.get(story.latest.beacon_id),
             "heard": story.heard, "replays": story.replays, "first_ms": story.first_ms,
             "signature": story.signed_ms is not None}
            for story in self.account.stories.values()
        ]  # fmt: skip
        return {
            "ok": self.has_come or not (self.until or self.is_deaf),
            "seconds": round(time.monotonic() - self.began_s, 1),
            "deaf": self.is_deaf,
            "events": events,
            "counts": dict(self.resolver.counts),
            "radio": dict(self.radio.counts),
        }

    def summarise(self) -> None:
        """Print the end of the account."""
        assert self.radio is not None
        for line in self.account.summary(self.resolver.counts, self.radio.counts):
            self.show.line(line)

    async def _listen(self, radio: Radio, seconds: float | None) -> None:
        events = listen(
            self.resolver, radio, record=Recorder.into(self.registry), refresh=self._refresh
        )
        ticking = asyncio.create_task(self._tick(radio))
        try:
            async with asyncio.timeout(seconds), aclosing(events):
                async for event in events:
                    self._take(event)
                    if self.has_come:
                        return
        except TimeoutError:
            return
        finally:
            ticking.cancel()

    async def _tick(self, radio: Radio) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            for line in self.account.tick(radio.now_ms()):
                self.show.line(line)

    def _take(self, event: Event) -> None:
        if isinstance(event, RadioState):
            if not self.is_greeted:
                self._greet()
            was_deaf, self.is_deaf = self.is_deaf, event.kind == DEAF
            _tell_radio(event, was_deaf)
        if isinstance(event, Sighting):
            self._keep(event)
        self.show.event(event, self.revoked, self.horizons)
        for line in self.account.tell(event):
            self.show.line(line)
        is_alert = isinstance(event, Sighting) and event.verdict != REPLAY
        self.has_come = (self.until == "alert" and is_alert) or (
            self.until == "signature"
            and isinstance(event, SignatureVerified)
            and self.account.is_live(event)
        )

    def _keep(self, seen: Sighting) -> None:
        """Keep outside of the registry that this event was heard."""
        is_news = seen.event > self.heard_before.get(seen.beacon_id, 0)
        if self.high_water is not None and is_news and seen.verdict != REPLAY:
            self.heard_before[seen.beacon_id] = seen.event
            self.high_water.raise_to({seen.beacon_id: seen.event})

    def _refresh(self) -> None:
        """Look for new beacons again; a registry that is busy is asked again soon."""
        try:
            self._catch_up()
            self._watch_new()
        except FanalError as error:
            console.note(f"{console.mark('warn', sys.stderr)} {error.sentence} {error.hint}")

    def now_ms(self) -> int:
        """Return the time by the clock that says when something is heard."""
        return self.registry.now_ms() if self.radio is None else self.radio.now_ms()

    def _catch_up(self) -> None:
        """Take up what another listener wrote into the registry, if its clock agrees with ours."""
        now_ms = self.now_ms()
        began_ms = now_ms if self.refreshed_ms is None else self.refreshed_ms
        self.rows, lines = self.registry.lines_after(self.rows)
        # by another clock, what is heard here would look delayed beside it, as replays are
        near = {
            event: [one for one in entries
                    if began_ms - AGREES_MS <= one[0] <= now_ms + AGREES_MS]
            for event, entries in lines.items()
        }  # fmt: skip
        self.resolver.catch_up(near)
        self.refreshed_ms = now_ms

    def _watch_new(self) -> None:
        """Watch the beacons that the registry got since: provisioning goes on beside us."""
        watched = self.registry.watched()
        new = [beacon for beacon in watched if beacon.beacon_id not in self.places]
        for beacon in watched:
            self.places[beacon.beacon_id] = ", ".join(p for p in (beacon.site, beacon.place) if p)
            if beacon.revocation is not None:
                self.revoked[beacon.beacon_id] = beacon.revocation.reason
        if not new:
            return
        rows, written = self.registry.lines_after(0)
        made_ms = {one.beacon_id: one.first_ms for one in watched}
        lines = believed(written, made_ms, self.now_ms())
        newest = {one.beacon_id: max(one.newest_event, self.heard_before.get(one.beacon_id, 0))
                  for one in new}  # fmt: skip
        self._set_horizons(new, lines)
        self.resolver.watch(first_keys(new, self.roots), lines, newest=newest)
        self.rows = self.rows or rows
        foreign = sum(beacon.station not in self.roots for beacon in new)
        if foreign:
            whose = (
                "1 beacon of another station"
                if foreign == 1
                else (f"{foreign} beacons of other stations")
            )
            console.note(f"{whose} cannot be recognised here: that takes the officer's keys.")

    def _set_horizons(self, new: list[Watched], lines: Lines) -> None:
        """Find up to which event the registry cannot tell a replay from news.

        Of an event that was heard at a station it has the number, and not when it was.
        """
        behind = 0
        for beacon in new:
            horizon = beacon.horizon_beside(self.heard_before.get(beacon.beacon_id, 0))
            behind += horizon != beacon.horizon
            if (beacon.beacon_id, beacon.newest_event) not in lines:
                horizon = max(horizon, beacon.newest_event)
            if horizon:
                self.horizons[beacon.beacon_id] = horizon
        if behind:
            warning = console.mark("warn", sys.stderr)
            console.note(f"{warning}  The registry is older than what this computer has heard of"
                         f" {behind} of its beacons: was it copied back? What they say may be a"
                         " replay, until each shows a newer event.")  # fmt: skip

    def _greet(self) -> None:
        self.is_greeted = True
        today = datetime.now().astimezone().strftime("%Y-%m-%d; times are %Z (UTC%z)")
        number = len(self.places)
        beacons = "1 beacon" if number == 1 else f"{number} beacons"
        console.note(f"Listening for {beacons} of this fleet, {today}. Ctrl-C ends it.")
        if not number:
            console.note("Provision one with `fanal provision`; it is noticed without a restart.")


def as_object(
    event: Event, revoked: Mapping[str, str], horizons: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return the JSON form of an event: its fields, and its `type`.

    revoked: beacon id to why; `revoked` is that reason, or null, in whatever is of a beacon.
    horizons: beacon id to the event up to which a sighting has the mark `may_be_replay`.
    """
    kind = _TYPES[type(event).__name__]
    if isinstance(event, Sighting):
        return {"type": kind, **_sighting_object(event, revoked, horizons or {})}
    if isinstance(event, Refusal):
        heard = asdict(event.heard)
        return {"type": kind, "reason": event.reason, "is_kept": event.is_kept, **heard}
    if isinstance(event, NotRecorded):
        return {"type": kind, "error": event.error.code, "sentence": event.error.sentence}
    if isinstance(event, RadioState):
        return {"type": kind, **asdict(event)}
    return {"type": kind, **asdict(event), "revoked": revoked.get(event.beacon_id)}


_TYPES = {
    "Sighting": "sighting", "PageMatched": "page", "SignatureVerified": "signature",
    "CrumbFound": "crumb", "Refusal": "refusal", "RadioState": "radio",
    "NotRecorded": "not_recorded",
}  # fmt: skip


def _sighting_object(
    seen: Sighting, revoked: Mapping[str, str], horizons: Mapping[str, int]
) -> dict[str, Any]:
    why = revoked.get(seen.beacon_id)
    marks = ([] if seen.readable else ["meaning"]) + ([] if why is None else ["revoked"])
    if seen.may_be_replay(horizons.get(seen.beacon_id, 0)):
        marks.append("may_be_replay")
    return {
        **asdict(seen),
        "kind": seen.kind,
        "age_s": seen.age_s,
        "activation": seen.activation,
        "drill": seen.drill,
        "battery_low": seen.battery_low,
        "resumed": seen.resumed,
        "marks": marks,
        "revoked": why,
    }


def _tell_radio(state: RadioState, was_deaf: bool) -> None:
    """Say on stderr what the radio can hear."""
    if state.kind == DEAF:
        console.note(f"{console.mark('fail', sys.stderr)} DEAF: {state.reason} "
                     "Nobody is heard until it does; it is tried again all the time.")  # fmt: skip
    elif state.kind == QUIET:
        console.note(f"{console.mark('warn', sys.stderr)} QUIET AIR: {state.reason}")
    else:
        again = "No longer deaf. " if was_deaf else ""
        console.note(f"{console.mark('ok', sys.stderr)} {again}{state.reason}")


def _paint(word: str, colour: str) -> str:
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        return click.style(word, fg=colour, bold=True)
    return word
