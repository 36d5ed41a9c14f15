"""One run of the suite: its beacons, opened when first needed, each looked at once."""

import tempfile
from pathlib import Path
from typing import Any

from fanal.error import FanalError
from fanal.heard import ArrivalClock

from tests.hil.beacon import Beacon
from tests.hil.ears import ListeningThread, real_radio
from tests.hil.fleet import SuiteFleet
from tests.hil.options import NO_RADIO, Options, is_virtual
from tests.hil.outcome import Infra, as_infra
from tests.hil.person import Person
from tests.hil.preflight import Facts
from tests.hil.rig import rig_for
from tests.hil.wired import WiredRig


class Session:
    """The beacons of a run. `beacon(spec)` gives one, `close` leaves all as they were found."""

    def __init__(self, options: Options, capture: Any = None) -> None:
        self.options = options
        self._person = Person(capture) if options.interactive else None
        self._beacons: dict[str, Beacon] = {}
        self._faults: dict[str, Infra] = {}
        self._fleets: dict[bool, SuiteFleet] = {}
        self._clock = ArrivalClock()
        self._listening: ListeningThread | None = None
        self._radio_fault: Infra | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._keys: list[bytes] = []

    def fault(self, spec: str) -> Infra | None:
        """Return why no test of a beacon can be run, if that is known."""
        return self._faults.get(spec)

    def facts(self, spec: str) -> Facts | None:
        """Return what is known of a beacon, None if its preflight failed."""
        beacon = self._beacons.get(spec)
        return None if beacon is None else beacon.facts

    def failed(self, spec: str, fault: Infra) -> None:
        """Remember the first fault of a beacon's rig, or of the radio that listens to it."""
        beacon = self._beacons.get(spec)
        if fault.radio and beacon is not None:
            beacon.radio_fault = beacon.radio_fault or fault
            beacon.is_radio_told = True
            return
        self._faults.setdefault(spec, fault)
        if beacon is not None:
            beacon.fault = beacon.fault or fault

    def beacon(self, spec: str) -> Beacon:
        """Return the beacon of a flag, after its preflight. Raises Infra, once for each beacon."""
        if spec not in self._beacons:
            try:
                self._beacons[spec] = self._opened(spec)
            except (FanalError, Infra) as problem:
                fault = as_infra(problem)
                if fault is None:
                    raise
                self._faults[spec] = fault
                raise fault from None
        return self._beacons[spec]

    def close(self) -> None:
        """End everything, each beacon whatever happened at the one before. Raises the first."""
        problems: list[Exception] = []
        for beacon in self._beacons.values():
            try:
                beacon.close()
            except (FanalError, Infra, AssertionError) as problem:
                problems.append(problem)
        if self._listening is not None:
            self._listening.close()
        self.keys()
        for fleet in self._fleets.values():
            fleet.close()
        self._fleets.clear()
        if self._temporary is not None:
            self._temporary.cleanup()
        if problems:
            raise as_infra(problems[0]) or problems[0]

    def keys(self) -> list[bytes]:
        """Return every secret that the suite holds, for whoever must show none of them."""
        if self._fleets:
            self._keys = [key for fleet in self._fleets.values() for key in fleet.all_keys()]
        return self._keys

    def _opened(self, spec: str) -> Beacon:
        rig = rig_for(spec, self.options, self._person)
        if isinstance(rig, WiredRig):
            rig.clock = self._clock
            if self.options.radio_of(spec) != NO_RADIO:
                rig.ears = self._real_ears(self.options.radio_of(spec))
        beacon = Beacon(rig, self._fleet(is_virtual(spec)), self.options, self._person)
        try:
            beacon.open()
        except BaseException:
            rig.close()
            raise
        if self._radio_fault is not None and isinstance(rig, WiredRig):
            beacon.radio_fault = self._radio_fault
            beacon.abilities |= {"ears"}
        return beacon

    def _real_ears(self, radio: str) -> Any:
        """Return the ears that all wired beacons share; None if the radio does not start."""
        if self._listening is None and self._radio_fault is None:
            try:
                self._listening = ListeningThread(real_radio(radio, self.options, self._clock))
            except (FanalError, Infra) as problem:
                self._radio_fault = as_infra(problem)
        return None if self._listening is None else self._listening.ears

    def _fleet(self, is_virtual_beacon: bool) -> SuiteFleet:
        """Return the fleet in --hil-state; a virtual beacon's is gone with the run."""
        if is_virtual_beacon not in self._fleets:
            folder = self.options.state
            if is_virtual_beacon and folder == Options.state:
                self._temporary = tempfile.TemporaryDirectory(prefix="fanal-hil-")
                folder = Path(self._temporary.name)
            self._fleets[is_virtual_beacon] = SuiteFleet(folder)
        return self._fleets[is_virtual_beacon]
